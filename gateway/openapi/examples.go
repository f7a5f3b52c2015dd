package openapi

import (
	_ "embed"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The examples are answers of a gateway over the emulated vendors, by operation and
// status, or by code. `make docs` takes them anew.
//
//go:embed examples.json
var examplesFile []byte

func readExamples() (map[string]jsontext.Value, error) {
	var examples map[string]jsontext.Value
	err := json.Unmarshal(examplesFile, &examples)
	return examples, err
}

// examplesOf are the examples of one answer: "createAgent 201", or "createAgent 201
// and what it shows".
func (b *builder) examplesOf(id, status string) object {
	found := object{}
	for name, value := range b.examples {
		if rest, ok := strings.CutPrefix(name, id+" "+status); ok && (rest == "" || rest[0] == ' ') {
			key := strings.ReplaceAll(strings.TrimSpace(rest), " ", "_")
			if key == "" {
				key = "answer"
			}
			found[key] = object{"value": value}
		}
	}
	return found
}

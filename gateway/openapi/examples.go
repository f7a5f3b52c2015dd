package openapi

import (
	_ "embed"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// examplesFile holds responses of a gateway with emulated providers, by operation and
// status ("createAgent 201") or by error code ("problem rate_limited"). `make docs`
// records them.
//
//go:embed examples.json
var examplesFile []byte

func readExamples() (map[string]jsontext.Value, error) {
	var examples map[string]jsontext.Value
	err := json.Unmarshal(examplesFile, &examples)
	return examples, err
}

// examplesOf returns the examples of one response. Text after the status tells several
// examples of the same response apart.
func (b *builder) examplesOf(operation, status string) object {
	found := object{}
	for name, value := range b.examples {
		if rest, ok := strings.CutPrefix(name, operation+" "+status); ok && (rest == "" || rest[0] == ' ') {
			key := strings.ReplaceAll(strings.TrimSpace(rest), " ", "_")
			if key == "" {
				key = "response"
			}
			found[key] = object{"value": value}
		}
	}
	return found
}

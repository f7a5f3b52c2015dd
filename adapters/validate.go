package adapters

import (
	"bytes"
	"fmt"
	"mime"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// MaxRows bounds the agents of a list, all its pages together, so that a small body
// cannot become a large amount of memory. The longest list that an adapter walks
// has 200 pages of 100.
const MaxRows = 20_000

// MaxDepth bounds how deep the JSON of an agent nests. Extensions are passed on to callers,
// whose parsers may not accept more.
const MaxDepth = 100

// RawRows holds the agents of a list, each as it was sent: at most MaxRows.
type RawRows []jsontext.Value

var errTooManyRows = fmt.Errorf("the list has more than %d agents", MaxRows)

const errNotArray = normalize.TypeError("want an array")

// UnmarshalJSONFrom reads an array, or null as an empty one. It fails at row
// MaxRows+1.
func (r *RawRows) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*r = nil
	switch dec.PeekKind() {
	case 'n':
		return dec.SkipValue()
	case '[':
	default:
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return errNotArray
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		row, err := dec.ReadValue()
		switch {
		case err != nil:
			return err
		case len(*r) == MaxRows:
			return errTooManyRows
		}
		*r = append(*r, row.Clone())
	}
	_, err := dec.ReadToken()
	return err
}

// validateReply checks what every JSON response has in common, before the adapter
// decodes it: its Content-Type and how deep it nests. Of a list, a row that nests too deep is
// left out when it is decoded.
func validateReply(provider string, op Operation, r Response) error {
	switch {
	case len(r.Body) == 0 || op == OpDelete:
	case !saysJSON(r.Header.Get("Content-Type")):
		return BadResponse(provider, op, r, "the body is not JSON, by its Content-Type")
	case op != OpList && DeeperThan(r.Body, MaxDepth):
		return WrongShape(provider, op, r, fmt.Sprintf("the JSON is nested deeper than %d", MaxDepth))
	}
	return nil
}

// saysJSON reports whether a response with this Content-Type can be JSON. Some
// servers send none, or a general one. HTML comes from something between us and
// the provider.
func saysJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil && media == "":
		return false
	case strings.HasSuffix(media, "+json"):
		return true
	}
	switch media {
	case "application/json", "text/json", "text/plain", "application/octet-stream":
		return true
	}
	return false
}

// DeeperThan reports whether brackets outside of strings nest deeper than that
// many levels. It does not check that data is JSON.
func DeeperThan(data []byte, levels int) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringEnd(data[i:])
		case '{', '[':
			if depth++; depth > levels {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// stringEnd returns the index of the closing quote of the JSON string that data
// begins with, or len(data) if there is none.
func stringEnd(data []byte) int {
	for at := 1; ; {
		quote := bytes.IndexByte(data[at:], '"')
		if quote < 0 {
			return len(data)
		}
		end := at + quote
		escapes := end
		for escapes > at && data[escapes-1] == '\\' {
			escapes--
		}
		if (end-escapes)%2 == 0 {
			return end
		}
		at = end + 1
	}
}

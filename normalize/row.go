package normalize

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Row is an agent's JSON object without the members that differ between responses:
// its view, its field sets and its raw JSON. It is encoded once, written many times,
// and never changed.
type Row []byte

// Row returns the agent's row.
func (a *Agent) Row() (Row, error) {
	row, err := a.AppendRow(make([]byte, 0, 1<<10))
	return slices.Clip(row), err
}

// Ending is the members that are written after those of a row. Rows with the same
// ending share it.
type Ending []byte

// NewEnding returns the ending of a row without field sets: the list has them once per
// source.
func NewEnding(view View) Ending {
	return append(append(Ending(`,"view":"`), view...), '"')
}

// Ending returns the ending of an agent that is a response by itself.
func (a *Agent) Ending() Ending {
	return NewEnding(a.View).WithSets(a.Unavailable, a.NotLoaded)
}

// WithSets returns the ending with field sets added.
func (e Ending) WithSets(unavailable, notLoaded FieldSet) Ending {
	whole := append(e[:len(e):len(e)], `,"unavailable":`...)
	whole = unavailable.append(whole)
	whole = append(whole, `,"not_loaded":`...)
	return notLoaded.append(whole)
}

// Append appends the row and its ending to dst as one object.
func (r Row) Append(dst []byte, e Ending) []byte {
	dst = append(dst, r[:len(r)-1]...)
	dst = append(dst, e...)
	return append(dst, '}')
}

// Agent returns the agent that the row was encoded from, without its view, its field
// sets and its raw JSON.
func (r Row) Agent() (*Agent, error) {
	a := &Agent{}
	if err := json.Unmarshal(r, a); err != nil {
		return nil, err
	}
	if string(a.Extensions) == string(emptyObject) {
		a.Extensions = nil
	}
	return a, nil
}

// AppendWithRaw is Append with the member `raw`: the provider's own JSON of the agent,
// from the list and from the detail; nil for none.
func (r Row) AppendWithRaw(dst []byte, e Ending, list, detail jsontext.Value) []byte {
	dst = append(dst, r[:len(r)-1]...)
	dst = append(dst, e...)
	dst = append(dst, `,"raw":{`...)
	first := true
	for _, part := range []struct {
		name  string
		value jsontext.Value
	}{{`"list":`, list}, {`"detail":`, detail}} {
		if part.value == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, part.name...)
		dst = append(dst, part.value...)
	}
	return append(dst, `}}`...)
}

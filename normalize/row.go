package normalize

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Row is an agent's JSON object without what differs from answer to answer: its
// view, its sets and its raw JSON. It is made once, written many times, and
// never changed.
type Row []byte

// Row encodes the agent for as many answers as there will be.
func (a *Agent) Row() (Row, error) {
	row, err := a.AppendRow(make([]byte, 0, 1<<10))
	return slices.Clip(row), err
}

// Ending is what is written behind a row's own members, made once for all rows
// that end alike.
type Ending []byte

// NewEnding is the ending of rows that leave their sets to their source.
func NewEnding(view View) Ending {
	return append(append(Ending(`,"view":"`), view...), '"')
}

// Ending is the ending of the agent where it stands by itself.
func (a *Agent) Ending() Ending {
	return NewEnding(a.View).WithSets(a.Unavailable, a.NotLoaded)
}

// WithSets is the ending of a row that carries its own sets.
func (e Ending) WithSets(unavailable, notLoaded FieldSet) Ending {
	whole := append(e[:len(e):len(e)], `,"unavailable":`...)
	whole = unavailable.append(whole)
	whole = append(whole, `,"not_loaded":`...)
	return notLoaded.append(whole)
}

// Append writes the row and its ending as one object.
func (r Row) Append(dst []byte, e Ending) []byte {
	dst = append(dst, r[:len(r)-1]...)
	dst = append(dst, e...)
	return append(dst, '}')
}

// Agent is the agent that the row was made of, but for what is not in a row: its view, its
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

// AppendWithRaw is Append with `raw`, the vendor's own JSON of the agent, as its list and
// as its detail have it; nil for none.
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

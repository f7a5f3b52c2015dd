package normalize

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Row is an agent's JSON object without what differs from answer to answer: its
// view, its sets and its raw JSON. It is made once, written many times, and
// never changed.
type Row []byte

// written is an agent as its row has it.
type written struct {
	*Agent `json:",embed"`
	View   *View `json:"view,omitzero"` // takes the place of the agent's own
}

// Row encodes the agent for as many answers as there will be.
func (a *Agent) Row() (Row, error) {
	w := written{Agent: a}
	if a.Extensions == nil {
		shallow := *a
		shallow.Extensions = emptyObject
		w.Agent = &shallow
	}
	return json.Marshal(w, encodeOptions)
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
	whole = append(whole, encode(unavailable)...)
	whole = append(whole, `,"not_loaded":`...)
	return append(whole, encode(notLoaded)...)
}

// Append writes the row and its ending as one object.
func (r Row) Append(dst []byte, e Ending) []byte {
	dst = append(dst, r[:len(r)-1]...)
	dst = append(dst, e...)
	return append(dst, '}')
}

// AppendWithRaw is Append with `raw`, the vendor's own JSON of the agent.
func (r Row) AppendWithRaw(dst []byte, e Ending, a *Agent) []byte {
	dst = append(dst, r[:len(r)-1]...)
	dst = append(dst, e...)
	dst = append(dst, `,"raw":{`...)
	first := true
	for _, part := range []struct {
		name  string
		value jsontext.Value
	}{{`"list":`, a.RawList}, {`"detail":`, a.RawDetail}} {
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

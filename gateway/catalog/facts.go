package catalog

import (
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/normalize"
)

// filterFields are the fields that lists can be filtered by.
var filterFields = [...]normalize.Field{
	normalize.FieldStatus, normalize.FieldArchitecture, normalize.FieldDirection,
	normalize.FieldVisibility, normalize.FieldLanguage, normalize.FieldModality,
}

// FilterFields are the fields that lists can be filtered by, in the order in
// which they are documented.
func FilterFields() []normalize.Field { return filterFields[:] }

// facts are what every list looks at, of one agent.
type facts struct {
	native string
	Sets
	values [len(filterFields)]*string
}

func factsOf(a *normalize.Agent) facts {
	f := facts{native: a.NativeID, Sets: Sets{a.Unavailable, a.NotLoaded}}
	for i, field := range filterFields {
		f.values[i] = a.Text(field)
	}
	return f
}

// shared are values that many agents have.
type shared map[string]*string

// shared has the values be those that others have, so that an agent that is let go of
// leaves nothing behind.
func (f facts) shared(with shared) facts {
	f.native = strings.Clone(f.native)
	for i, v := range f.values {
		if v == nil {
			continue
		}
		known, ok := with[*v]
		if !ok {
			own := strings.Clone(*v)
			known = &own
			with[own] = known
		}
		f.values[i] = known
	}
	return f
}

// knows reports whether the value of a field is known, be it that there is none.
func (f *facts) knows(field normalize.Field) bool {
	return !f.Unavailable.Has(field) && !f.NotLoaded.Has(field)
}

// value is that of a field that lists are filtered by; nil for none.
func (f *facts) value(field normalize.Field) *string {
	for i, known := range filterFields {
		if known == field {
			return f.values[i]
		}
	}
	return nil
}

// shown is what lists are ordered and searched by, of one agent.
type shown struct {
	Name         *string  `json:"name"`
	Description  *string  `json:"description"`
	CreatedAt    *string  `json:"created_at"`
	UpdatedAt    *string  `json:"updated_at"`
	AlternateIDs []string `json:"alternate_ids"`
}

// shown reads it out of a row.
func (s *Snapshot) shown(i int) (of shown) {
	if d := s.details[i]; d != nil {
		a := d.Agent
		return shown{a.Name, a.Description, a.CreatedAt, a.UpdatedAt, a.AlternateIDs}
	}
	if err := json.Unmarshal(s.rows.get(i, nil), &of); err != nil { // we have encoded it
		panic(err)
	}
	return of
}

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

// FilterFields returns the fields that lists can be filtered by, in their documented order.
func FilterFields() []normalize.Field { return filterFields[:] }

// FieldSets are the fields that an agent does not show.
type FieldSets struct {
	Unavailable normalize.FieldSet // the provider does not have them
	NotLoaded   normalize.FieldSet // they were not read
}

// MostCommonFieldSets returns the FieldSets that most agents have, fallback without agents.
func MostCommonFieldSets(agents []FieldSets, fallback FieldSets) (unavailable, notLoaded normalize.FieldSet) {
	best, most := fallback, 0
	count := map[FieldSets]int{}
	for _, s := range agents {
		if count[s]++; count[s] > most {
			best, most = s, count[s]
		}
	}
	return best.Unavailable, best.NotLoaded
}

// rowFields are the decoded fields of a row: those that every list needs.
type rowFields struct {
	native string
	FieldSets
	values [len(filterFields)]*string
}

func rowFieldsOf(a *normalize.Agent) rowFields {
	f := rowFields{native: a.NativeID, FieldSets: FieldSets{a.Unavailable, a.NotLoaded}}
	for i, field := range filterFields {
		f.values[i] = a.Text(field)
	}
	return f
}

// interned has one copy of each value, which all agents with that value share.
type interned map[string]*string

// intern returns the fields with interned values and a copy of the native id, so that they
// do not keep the agent's memory alive.
func (f rowFields) intern(values interned) rowFields {
	f.native = strings.Clone(f.native)
	for i, v := range f.values {
		if v == nil {
			continue
		}
		shared, ok := values[*v]
		if !ok {
			own := strings.Clone(*v)
			shared = &own
			values[own] = shared
		}
		f.values[i] = shared
	}
	return f
}

// isKnown reports whether the value of a field is known; a known value can be null.
func (f *rowFields) isKnown(field normalize.Field) bool {
	return !f.Unavailable.Has(field) && !f.NotLoaded.Has(field)
}

// value returns the value of one of filterFields, nil for none.
func (f *rowFields) value(field normalize.Field) *string {
	for i, known := range filterFields {
		if known == field {
			return f.values[i]
		}
	}
	return nil
}

// queryFields are the fields of a row that lists are ordered and searched by. They are
// decoded when a query first needs them.
type queryFields struct {
	Name         *string  `json:"name"`
	Description  *string  `json:"description"`
	CreatedAt    *string  `json:"created_at"`
	UpdatedAt    *string  `json:"updated_at"`
	AlternateIDs []string `json:"alternate_ids"`
}

func (s *Snapshot) queryFields(i int) (fields queryFields) {
	if d := s.details[i]; d != nil {
		a := d.Agent
		return queryFields{a.Name, a.Description, a.CreatedAt, a.UpdatedAt, a.AlternateIDs}
	}
	if err := json.Unmarshal(s.rows.get(i, nil), &fields); err != nil { // impossible: NewSnapshot encoded it
		panic(err)
	}
	return fields
}

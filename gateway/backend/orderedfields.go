package backend

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// OrderedFields is a JSON object whose fields keep their order.
type OrderedFields []namedField

type namedField struct {
	name string
	view FieldView
}

// MarshalJSONTo implements json.MarshalerTo.
func (o OrderedFields) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, f := range o {
		if err := enc.WriteToken(jsontext.String(f.name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(enc, f.view); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

package normalize

import (
	"github.com/go-json-experiment/json/jsontext"
)

// Number is a JSON number as its literal: 345.50 stays 345.50, and an integer above
// 2^53 keeps all its digits.
type Number string

// TypeError says which JSON type a decoder wants. It never quotes the value.
type TypeError string

func (e TypeError) Error() string { return string(e) }

const errNotNumber = TypeError("want a number")

// UnmarshalJSONFrom accepts a JSON number and nothing else.
func (n *Number) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '0' {
		return errNotNumber
	}
	*n = Number(v)
	return nil
}

// MarshalJSONTo writes the literal unchanged.
func (n Number) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteValue(jsontext.Value(n))
}

// Package secret provides a string type for values that must never be printed: credentials
// of backends and the gateway's own secrets.
//
// The package must not know where secrets come from; package config resolves them. Begin
// with String.
package secret

import (
	"fmt"
	"log/slog"
)

// Redacted is the output of every formatter and encoder for a secret.
const Redacted = "[redacted]"

// String is a secret. It prints and encodes as Redacted; only Reveal returns the value. The
// zero value is an empty secret.
//
// The value is behind a pointer: fmt calls no methods on unexported fields, so printing a
// struct with such a field shows an address instead of the value.
type String struct{ value *string }

// New returns s as a secret.
func New(s string) String { return String{&s} }

// Reveal returns the value. Call it only where the value is used, such as in a request
// header.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether the value is empty.
func (s String) Empty() bool { return s.Reveal() == "" }

// String returns Redacted.
func (String) String() string { return Redacted }

// GoString returns Redacted.
func (String) GoString() string { return Redacted }

// Format writes Redacted for every verb.
func (String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText returns Redacted. JSON, XML and most other encoders use it.
func (String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalYAML returns Redacted.
func (String) MarshalYAML() (any, error) { return Redacted, nil }

// LogValue returns Redacted, for slog.
func (String) LogValue() slog.Value { return slog.StringValue(Redacted) }

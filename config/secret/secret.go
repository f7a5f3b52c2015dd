// Package secret holds values that must never be printed: credentials of
// backends and the gateway's own secrets.
//
// It must not know where secrets come from; package config resolves them.
package secret

import (
	"fmt"
	"log/slog"
)

// Redacted is what every formatter and encoder makes of a secret.
const Redacted = "[redacted]"

// String is a secret. Every way of printing or encoding it gives Redacted; the
// value needs an explicit call of Reveal. The zero value is an empty secret.
//
// The value stands behind a pointer, so that printing a struct that holds a
// String in an unexported field, where fmt calls no methods, shows an address.
type String struct{ value *string }

// New makes a secret of s.
func New(s string) String { return String{&s} }

// Reveal is the value itself. Call it only where the value leaves for the one
// place it is meant for.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether there is no value.
func (s String) Empty() bool { return s.Reveal() == "" }

// String is Redacted.
func (String) String() string { return Redacted }

// GoString is Redacted.
func (String) GoString() string { return Redacted }

// Format writes Redacted whatever the verb.
func (String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText gives Redacted to JSON, YAML, XML and every other encoder.
func (String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalYAML gives Redacted to YAML.
func (String) MarshalYAML() (any, error) { return Redacted, nil }

// LogValue gives Redacted to slog.
func (String) LogValue() slog.Value { return slog.StringValue(Redacted) }

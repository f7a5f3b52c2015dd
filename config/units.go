package config

import (
	"errors"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/invopop/jsonschema"
)

// Duration is a time.Duration written as 15s, 1m30s, 24h.
type Duration time.Duration

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

// JSONSchema returns the schema of a duration.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"15s", "1m30s"}}
}

// UnmarshalText parses a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("not a duration such as 15s")
	}
	*d = Duration(v)
	return nil
}

// D returns d as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return d.D().String() }

// Size is a number of bytes written as 1MiB, 512KiB, 100B.
type Size int64

const sizePattern = `^[0-9]+ ?(B|KiB|MiB|GiB|KB|MB|GB)$`

// JSONSchema returns the schema of a size.
func (Size) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: sizePattern, Examples: []any{"1MiB", "512KiB"}}
}

// UnmarshalText parses a size.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := humanize.ParseBytes(string(text))
	if err != nil || v > 1<<40 {
		return errors.New("not a size such as 1MiB")
	}
	*s = Size(v)
	return nil
}

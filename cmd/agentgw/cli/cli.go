// Package cli holds what all commands of agentgw share: how a command is defined, how its
// errors become exit codes, and how it prints.
//
// The package must not know what any command does. Begin with NewCommand and ExitCode.
package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// App is the environment that commands run in.
type App struct {
	Stdin          io.Reader // nil if there is none
	Stdout, Stderr io.Writer
	Environ        []string // in the form of os.Environ
}

// Getenv returns the value of an environment variable, or "" if it is not set.
func (a *App) Getenv(name string) string {
	for _, pair := range a.Environ {
		if n, value, _ := strings.Cut(pair, "="); n == name {
			return value
		}
	}
	return ""
}

// PrintJSON prints v as indented JSON. Struct fields keep their order.
func (a *App) PrintJSON(v any) error {
	text, err := MarshalIndent(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "%s\n", text)
	return err
}

// PrintJSONLine prints v as JSON on one line.
func (a *App) PrintJSONLine(v any) error { return json.NewEncoder(a.Stdout).Encode(v) }

// MarshalIndent returns v as indented JSON with a deterministic order of map keys.
func MarshalIndent(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsonv2.Deterministic(true), jsontext.WithIndent("  "))
}

// Count returns "1 backend", "2 backends".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// AbsolutePath returns the absolute path of a file, so that messages name the place that was
// searched. It expands "~/", which shells do not expand in --config=~/x or in a variable.
func AbsolutePath(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, rest)
		}
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

package config

import (
	"fmt"
	"strings"
)

// Problem is an error or a warning about the configuration.
type Problem struct {
	Path    []string // keys and list indexes, from the top
	Origin  string   // the file or the environment variable
	Line    int      // in the file; 0 if unknown
	Message string
}

func (p Problem) dotted() string { return strings.Join(p.Path, ".") }

// Where returns the dotted path of the setting, or the origin if there is no path.
func (p Problem) Where() string {
	if len(p.Path) == 0 {
		return p.Origin
	}
	return p.dotted()
}

// String formats the problem as "config.yaml:12: server.lisen: unknown key; did you mean
// listen?".
func (p Problem) String() string {
	var b strings.Builder
	if p.Origin != "" {
		b.WriteString(p.Origin)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if len(p.Path) > 0 {
		b.WriteString(p.dotted())
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is the error for an invalid configuration. It lists every problem.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, problem := range p {
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

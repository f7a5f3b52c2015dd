package telemetry

import (
	"runtime/debug"
	"strings"
)

// Stack is the functions on the stack, without the values of their arguments.
func Stack() string { return functionsOnly(string(debug.Stack())) }

// functionsOnly keeps the names of a stack's functions. Arguments are
// addresses at best; file paths tell of the machine it was built on. The
// first line of a trace, and the panic's own, are left out.
func functionsOnly(trace string) string {
	var names []string
	for _, line := range strings.Split(trace, "\n") {
		if line == "" || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "goroutine ") || strings.HasPrefix(line, "panic(") {
			continue
		}
		name, _, _ := strings.Cut(line, "(0x")
		name, _, _ = strings.Cut(name, "({")
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(name, "created by "), "(...)"))
	}
	return strings.Join(names, " < ")
}

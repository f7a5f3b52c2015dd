package migratecli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// move is where migrations lead.
type move struct{ from, to string }

// effects says, for a step that changes something, what it does to n agents. The first line of
// a description is their number.
var effects = map[string]func(n string, m move) string{
	"apply":   func(n string, m move) string { return fmt.Sprintf("create %s of %s at %s", n, m.from, m.to) },
	"shadow":  func(n string, m move) string { return fmt.Sprintf("read %s at %s beside reads at %s", n, m.to, m.from) },
	"cutover": func(n string, m move) string { return fmt.Sprintf("point the ids of %s at %s to %s", n, m.from, m.to) },
	"rollback": func(n string, m move) string {
		return fmt.Sprintf("point the ids of %s back to %s; deactivate them at %s", n, m.from, m.to)
	},
	"delete": func(n string, m move) string {
		return fmt.Sprintf("DELETE %s at %s, and point their ids back to %s", n, m.to, m.from)
	},
}

// describe returns what a step does to the migrations, by backend.
func describe(step string, effect func(n string, m move) string, migrations []migration) string {
	counts := map[move]int{}
	for _, m := range migrations {
		counts[move{m.sourceBackend(), m.TargetBackend}]++
	}
	lines := []string{fmt.Sprintf("%s: %s", step, cli.Count(len(migrations), "agent"))}
	for _, m := range slices.SortedFunc(maps.Keys(counts), func(a, b move) int { return strings.Compare(a.from+" "+a.to, b.from+" "+b.to) }) {
		lines = append(lines, "  "+effect(cli.Count(counts[m], "agent"), m))
	}
	return strings.Join(lines, "\n")
}

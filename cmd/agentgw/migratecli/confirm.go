package migratecli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// move is where migrations lead.
type move struct{ from, to string }

const effectDelete = "delete" // of a rollback that deletes the target

// effects says, for a step that changes something, what it does to n agents.
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

// describe returns what the step does to the migrations, by backend.
func (s *step) describe(migrations []client.Migration) string {
	counts := map[move]int{}
	rest := 0
	for _, m := range migrations {
		if s.affects(m) {
			counts[move{m.SourceBackend(), m.TargetBackend}]++
		} else {
			rest++
		}
	}
	lines := []string{fmt.Sprintf("%s: %s", s.name, cli.Count(len(migrations), "agent"))}
	for _, m := range slices.SortedFunc(maps.Keys(counts), func(a, b move) int { return strings.Compare(a.from+" "+a.to, b.from+" "+b.to) }) {
		lines = append(lines, "  "+effects[s.effect](cli.Count(counts[m], "agent"), m))
	}
	if rest > 0 {
		lines = append(lines, fmt.Sprintf("  nothing for %s in another state", cli.Count(rest, "agent")))
	}
	return strings.Join(lines, "\n")
}

// affects reports whether the step changes something for a migration in its state.
func (s *step) affects(m client.Migration) bool {
	if s.effect == effectDelete {
		return m.Target != nil || m.State == "outcome_unknown"
	}
	return slices.Contains(statesBefore[s.name], m.State)
}

package agents

import (
	"context"
	"maps"
	"slices"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// readBack reads a written agent anew and says what did not stick. If it
// cannot be read, the write stands: known is what is known of it.
func (s *Service) readBack(ctx context.Context, b auth.CallerBackend, native string, change normalize.Change, known *normalize.Agent, said []problem.Warning) (*normalize.Agent, []problem.Warning) {
	detail, err := s.ReadFresh(ctx, b, native)
	if err != nil {
		return known, []problem.Warning{problem.NewWarning("unverified", "", b.Name, "the agent was written, but could not be read back")}
	}
	var warnings []problem.Warning
	for _, w := range differences(b, detail.Agent, change) {
		if !hasWarning(said, *w.Path) {
			warnings = append(warnings, w)
		}
	}
	return detail.Agent, warnings
}

// unreadAgent is all that is known of an agent that cannot be read back: that it is there.
func unreadAgent(b auth.CallerBackend, native string) *normalize.Agent {
	known := normalize.New(b.Info.Provider, b.Name, native, normalize.ViewBasic)
	known.Unavailable = b.Info.Unavailable()
	known.NotLoaded = normalize.Optional.Minus(known.Unavailable)
	return known
}

// differences are what an agent shows otherwise than it was sent, or not at all.
func differences(b auth.CallerBackend, agent *normalize.Agent, change normalize.Change) []problem.Warning {
	var warnings []problem.Warning
	differs := func(pointer string) {
		warnings = append(warnings, problem.NewWarning("not_persisted", pointer, b.Name, "the backend took this and shows another value"))
	}
	for _, f := range normalize.AllFields() {
		want, sent := change.Set[f]
		readable := b.Info.Rule(f).In&(adapters.InList|adapters.InGet) != 0 && !agent.NotLoaded.Has(f)
		if sent && readable && !normalize.Equal(want, agent.Value(f)) {
			differs(f.Pointer())
		}
	}
	have := normalize.Members(agent.Extensions)
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		switch pointer := normalize.ExtensionPointer(name); {
		case have[name] == nil:
			warnings = append(warnings, problem.NewWarning("unverified", pointer, b.Name, "the backend took this and does not show it"))
		case !normalize.Equal(change.Extensions[name], have[name]):
			differs(pointer)
		}
	}
	return warnings
}

func hasWarning(warnings []problem.Warning, pointer string) bool {
	for _, w := range warnings {
		if w.Path != nil && *w.Path == pointer {
			return true
		}
	}
	return false
}

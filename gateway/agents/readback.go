package agents

import (
	"context"
	"maps"
	"slices"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/placement"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// readBack reads an agent that was just written. It returns it with the warnings of the write and
// those about values that the backend did not store. If the agent cannot be read, the write still
// stands: readBack returns the agent as it is known.
func (s *Service) readBack(ctx context.Context, written placement.Placement, known *normalize.Agent) (*normalize.Agent, []problem.Warning) {
	b, warnings := written.Backend, written.Warnings
	detail, err := s.ReadFresh(ctx, b, known.NativeID)
	if err != nil {
		return known, append(warnings, problem.NewWarning("unverified", "", b.Name, "the agent was written but could not be read back to verify it"))
	}
	changed := differences(b, detail.Agent, written.Change)
	if len(changed) > 0 {
		// Some providers read back the old agent for a while after a write.
		s.Forget(b, known.NativeID)
	}
	for _, w := range changed {
		if !hasWarning(written.Warnings, *w.Path) {
			warnings = append(warnings, w)
		}
	}
	return detail.Agent, warnings
}

// unreadAgent returns an agent of which only the id is known.
func unreadAgent(b auth.CallerBackend, nativeID string) *normalize.Agent {
	agent := normalize.New(b.Info.Provider, b.Name, nativeID, normalize.ViewBasic)
	agent.Unavailable = b.Info.Unavailable()
	agent.NotLoaded = normalize.Optional.Minus(agent.Unavailable)
	return agent
}

// differences returns a warning for each value of the change that the agent does not have or does
// not show.
func differences(b auth.CallerBackend, agent *normalize.Agent, change normalize.Change) []problem.Warning {
	var warnings []problem.Warning
	differs := func(pointer string) {
		warnings = append(warnings, problem.NewWarning("not_persisted", pointer, b.Name, "the backend accepted this value but returns a different one"))
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
			warnings = append(warnings, problem.NewWarning("unverified", pointer, b.Name, "the backend accepted this value but does not return it"))
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

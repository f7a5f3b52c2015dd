package gateway

import (
	"slices"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Snapshot is all agents of one backend as one credential sees them: sorted,
// and each row encoded once. It is not changed after it was made.
type Snapshot struct {
	Agents []*normalize.Agent // by normalize.Compare of native ids
	rows   [][]byte           // each agent as a list shows it
	byID   map[string]*normalize.Agent

	// Unavailable and NotLoaded are what most rows say; a row that differs
	// carries its own.
	Unavailable normalize.FieldSet
	NotLoaded   normalize.FieldSet

	Fetched time.Time
	// Partial is why this is not all of it; nil if it is.
	Partial *normalize.Error
	// Interrupted: it is partial because the rest could not be asked for.
	Interrupted bool
}

func newSnapshot(info *adapters.Info, listing adapters.Listing, fetched time.Time) (*Snapshot, error) {
	s := &Snapshot{
		Agents:  slices.Clone(listing.Agents),
		rows:    make([][]byte, 0, len(listing.Agents)),
		byID:    make(map[string]*normalize.Agent, len(listing.Agents)),
		Fetched: fetched,
		Partial: listing.Partial, Interrupted: listing.Interrupted,
	}
	slices.SortStableFunc(s.Agents, func(a, b *normalize.Agent) int { return normalize.Compare(a.NativeID, b.NativeID) })
	s.Agents = slices.CompactFunc(s.Agents, func(a, b *normalize.Agent) bool { return a.NativeID == b.NativeID })
	s.Unavailable, s.NotLoaded = commonSets(info, s.Agents)
	for _, a := range s.Agents {
		row, err := a.Encode(normalize.Form{WithSets: s.differs(a)})
		if err != nil {
			return nil, &normalize.Error{Kind: normalize.KindInternal, Provider: info.Provider, Op: string(adapters.OpList), Message: "an agent cannot be encoded", Err: err}
		}
		s.rows = append(s.rows, row)
		s.byID[a.ID] = a
		for _, alternate := range a.AlternateIDs {
			if s.byID[alternate] == nil {
				s.byID[alternate] = a
			}
		}
	}
	return s, nil
}

// differs reports whether a row has to carry its own sets.
func (s *Snapshot) differs(a *normalize.Agent) bool {
	return a.Unavailable != s.Unavailable || a.NotLoaded != s.NotLoaded
}

// Find is the agent with that native id, its own or an alternate one; nil if
// there is none. An agent's own id goes before another's alternate.
func (s *Snapshot) Find(nativeID string) *normalize.Agent {
	if len(s.Agents) == 0 {
		return nil
	}
	return s.byID[normalize.ID{Backend: s.Agents[0].Backend, Native: nativeID}.String()]
}

// commonSets is what most rows say; without rows, what the vendor's table
// says.
func commonSets(info *adapters.Info, agents []*normalize.Agent) (unavailable, notLoaded normalize.FieldSet) {
	type sets struct{ unavailable, notLoaded normalize.FieldSet }
	count := map[sets]int{}
	best := sets{info.Unavailable(), info.NotLoaded(adapters.InList)}
	for _, a := range agents {
		s := sets{a.Unavailable, a.NotLoaded}
		if count[s]++; count[s] > count[best] {
			best = s
		}
	}
	return best.unavailable, best.notLoaded
}

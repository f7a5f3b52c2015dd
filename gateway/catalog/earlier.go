package catalog

import (
	"slices"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// order is where the rows of a list are, in the order in which they came; nil if that is as
// they are kept.
type order []uint32

// sorted are the agents of a list as they are kept: by native id, the first of those with the
// same.
func sorted(listed []*normalize.Agent) (agents []*normalize.Agent, received order) {
	byID := func(a, b *normalize.Agent) int { return normalize.Compare(a.NativeID, b.NativeID) }
	same := func(a, b *normalize.Agent) bool { return a.NativeID == b.NativeID }
	if slices.IsSortedFunc(listed, byID) {
		return slices.CompactFunc(slices.Clone(listed), same), nil
	}
	came := make(order, len(listed))
	for i := range came {
		came[i] = uint32(i)
	}
	slices.SortStableFunc(came, func(a, b uint32) int { return byID(listed[a], listed[b]) })
	came = slices.CompactFunc(came, func(a, b uint32) bool { return same(listed[a], listed[b]) })
	agents = make([]*normalize.Agent, len(came))
	for i, at := range came {
		agents[i] = listed[at]
	}
	// Now came has for each that is kept when it came; wanted is the reverse.
	received = make(order, len(came))
	for i := range received {
		received[i] = uint32(i)
	}
	slices.SortFunc(received, func(a, b uint32) int { return int(came[a]) - int(came[b]) })
	return agents, received
}

// Earlier is the snapshot as a list that was read before; nil if its agents cannot be told
// from their rows alone.
func (s *Snapshot) Earlier() adapters.Earlier {
	if s == nil || s.contested || s.details != nil || s.Len() == 0 {
		return nil
	}
	return earlier{s, s.raw.reader()}
}

type earlier struct {
	*Snapshot
	raw func(i int) []byte
}

var _ adapters.Earlier = earlier{}

// at is where the row is kept that came so manieth.
func (e earlier) at(i int) int {
	if e.received == nil {
		return i
	}
	return int(e.received[i])
}

func (e earlier) Row(i int) []byte { return e.raw(e.at(i)) }

func (e earlier) Stand(a *normalize.Agent, i int) {
	at := e.at(i)
	a.Backend, a.NativeID, a.Earlier = e.backend, e.listed[at].native, at+1
}

// alternatesOf are the alternate ids of each agent, which has one at most nearly always.
func (s *Snapshot) alternatesOf() [][]string {
	if s == nil || len(s.alternates) == 0 {
		return nil
	}
	ids, of := make([]string, s.Len()), make([][]string, s.Len())
	for id, i := range s.alternates {
		if ids[i] == "" {
			ids[i] = id
			of[i] = ids[i : i+1 : i+1]
		} else {
			of[i] = append(of[i], id)
		}
	}
	return of
}

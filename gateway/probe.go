package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// Probe is what one real call to a backend with one credential gave.
type Probe struct {
	Backend  string        `json:"backend"`
	Provider string        `json:"provider"`
	Keys     []string      `json:"keys"` // ids of the keys that map to the credential
	OK       bool          `json:"ok"`
	Agents   int           `json:"agents"`
	Problem  string        `json:"problem,omitempty"`
	Took     time.Duration `json:"took_ns"`
}

// probeTimeout is each probe's.
const probeTimeout = 30 * time.Second

// Probe lists the agents of every backend once with every credential that some
// key maps to.
func (g *Gateway) Probe(ctx context.Context) []Probe {
	s := g.state.Load()
	var probes []Probe
	for _, b := range s.backends {
		for _, keys := range s.keys.holders(b) {
			started := time.Now()
			bounded, cancel := context.WithTimeout(ctx, probeTimeout)
			result, err := b.Endpoint(bounded, Call{Op: adapters.OpList, Credential: keys.credential, Fresh: true})
			cancel()
			if err == nil && result.Snapshot.Partial != nil {
				err = result.Snapshot.Partial
			}
			p := Probe{Backend: b.Name, Provider: b.Info.Provider, Keys: keys.ids, OK: err == nil, Took: time.Since(started)}
			if err != nil {
				p.Problem = backendProblem(b.Name, adapters.OpList, err).Detail
			} else {
				p.Agents = result.Snapshot.Len()
			}
			probes = append(probes, p)
		}
	}
	return probes
}

// holders are the keys that map to each credential of a backend, in the order
// of their ids.
func (r *keyring) holders(b *Backend) []holder {
	var all []holder
	for _, e := range r.byHash {
		for _, mapped := range e.caller.backends {
			if mapped.Backend != b {
				continue
			}
			i := slices.IndexFunc(all, func(h holder) bool { return h.credential.ID() == mapped.Credential.ID() })
			if i < 0 {
				all, i = append(all, holder{credential: mapped.Credential}), len(all)
			}
			all[i].ids = append(all[i].ids, e.caller.KeyID)
		}
	}
	for i := range all {
		slices.Sort(all[i].ids)
	}
	slices.SortFunc(all, func(a, b holder) int { return slices.Compare(a.ids, b.ids) })
	return all
}

type holder struct {
	credential adapters.Credential
	ids        []string
}

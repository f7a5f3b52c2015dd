package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
)

// Probe is the result of one call to a backend with one credential.
type Probe struct {
	Backend  string        `json:"backend"`
	Provider string        `json:"provider"`
	Keys     []string      `json:"keys"` // ids of the keys that have the credential
	OK       bool          `json:"ok"`
	Agents   int           `json:"agents"`
	Problem  string        `json:"problem,omitempty"`
	Took     time.Duration `json:"took_ns"`
}

// probeTimeout bounds each call.
const probeTimeout = 30 * time.Second

// Probe lists the agents of every backend once with every credential that a key has for it,
// one after the other and without the cache.
func (g *Gateway) Probe(ctx context.Context) []Probe {
	s := g.state.Load()
	var probes []Probe
	for _, b := range s.backends {
		for _, keys := range s.keys.KeysByCredential(b) {
			started := time.Now()
			bounded, cancel := context.WithTimeout(ctx, probeTimeout)
			result, err := b.Endpoint(bounded, backend.Call{Op: adapters.OpList, Credential: keys.Credential, NoCache: true})
			cancel()
			if err == nil && result.Snapshot.Partial != nil {
				err = result.Snapshot.Partial
			}
			p := Probe{Backend: b.Name, Provider: b.Info.Provider, Keys: keys.KeyIDs, OK: err == nil, Took: time.Since(started)}
			if err != nil {
				p.Problem = problem.FromBackend(b.Name, adapters.OpList, err).Detail
			} else {
				p.Agents = result.Snapshot.Len()
			}
			probes = append(probes, p)
		}
	}
	return probes
}

package api

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
)

// backendView is a backend in responses.
type backendView struct {
	Object               string                `json:"object"`
	Backend              string                `json:"backend"`
	Provider             string                `json:"provider"`
	Breaker              backend.BreakerStatus `json:"breaker"`
	Quota                *backend.QuotaView    `json:"quota"`
	LastSuccessAt        *time.Time            `json:"last_success_at"`
	LastError            *backend.Failure      `json:"last_error"`
	backend.Capabilities `json:",embed"`
}

func (r *request) backends() (*response, error) {
	limit, after := r.limit(), r.query["cursor"]
	first := 0
	if after != "" {
		if first = 1 + slices.Index(r.caller.BackendNames(), after); first == 0 {
			r.invalid("cursor", "is no cursor of this list; leave it out to get the first page")
		}
	}
	if err := r.refusal(); err != nil {
		return nil, err
	}
	return jsonResponse(newPage(r.caller.Backends[first:], limit, func(b auth.CallerBackend) string { return b.Name }, viewOf))
}

func getBackend(caller *auth.Caller, name string) (*response, error) {
	b, ok := caller.Backend(name)
	if !ok {
		return nil, auth.UnknownBackend(caller, name)
	}
	return jsonResponse(viewOf(b))
}

func viewOf(b auth.CallerBackend) backendView {
	status := b.Status()
	return backendView{
		Object: "backend", Backend: b.Name, Provider: b.Info.Provider,
		Breaker: b.Breaker(b.Credential), Quota: b.Quota(b.Credential),
		LastSuccessAt: status.LastSuccess, LastError: status.LastFailure,
		Capabilities: backend.CapabilitiesOf(b.Info),
	}
}

// jsonResponse encodes a read, with a weak entity tag of its bytes.
func jsonResponse(v any) (*response, error) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return &response{status: 200, body: payload.New(body), etag: catalog.WeakETag(sum[:]), read: true}, nil
}

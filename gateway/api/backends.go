package api

import (
	"crypto/sha256"
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

func listBackends(caller *auth.Caller) (*response, error) {
	list := struct {
		Object string        `json:"object"`
		Data   []backendView `json:"data"`
	}{"list", []backendView{}}
	for _, b := range caller.Backends {
		list.Data = append(list.Data, viewOf(b))
	}
	return jsonResponse(list)
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

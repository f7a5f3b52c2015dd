package agents

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/placement"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// dryRunBody is the response body of a dry run.
type dryRunBody struct {
	Object   string            `json:"object"`
	Backend  string            `json:"backend"`
	Requests []DryRunRequest   `json:"requests"`
	Warnings []problem.Warning `json:"warnings"`
}

// DryRunRequest is a request that would be sent to a backend. Headers are omitted, because they
// contain the credential. Body is null for none.
type DryRunRequest struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   jsontext.Value `json:"body"`
}

// newAgentID is the placeholder in a path for an id that the backend will assign.
const newAgentID = "{id}"

// dryRunCreate returns the requests of a create. The change is that of p without the status if a
// second request has to activate the agent.
func dryRunCreate(ctx context.Context, p placement.Placement, change normalize.Change, activate, lenient bool) (*Result, error) {
	calls := []backend.Call{{Op: adapters.OpCreate, Change: change}}
	if activate {
		calls = append(calls, backend.Call{Op: adapters.OpUpdate, NativeID: newAgentID, Change: activation})
	}
	return dryRunResult(ctx, p, calls, lenient)
}

// dryRunUpdate returns the request of a patch. It does not call the backend: if the agent is not
// cached, values that must be compared with it are left out, with a warning each.
func dryRunUpdate(ctx context.Context, nativeID string, p patch, q WriteQuery) (*Result, error) {
	b := p.Backend
	agent, warnings, err := cachedAgent(ctx, b, adapters.OpUpdate, nativeID)
	if err != nil {
		return nil, err
	}
	if len(q.IfMatch) > 0 || p.needsAgent() { // the cases in which Update reads the agent
		if agent != nil {
			if p, err = p.diff(agent); err != nil {
				return nil, err
			}
		} else {
			undecided := p.undecided()
			for _, pointer := range undecided {
				p.Warnings = append(p.Warnings, problem.NewWarning("unverified", pointer, b.Name, "not checked: the agent is not cached, so this value cannot be compared with the current one"))
			}
			p.Change = p.Change.Keep(func(pointer string, _ jsontext.Value) bool { return !slices.Contains(undecided, pointer) })
		}
	}
	p.Warnings = slices.Concat(p.Warnings, warnings, ifMatchWarnings(b, q))
	var calls []backend.Call
	if !p.Change.Empty() {
		calls = []backend.Call{{Op: adapters.OpUpdate, NativeID: nativeID, Change: p.Change}}
	}
	return dryRunResult(ctx, p.Placement, calls, q.Lenient)
}

func dryRunDelete(ctx context.Context, b auth.CallerBackend, nativeID string, q WriteQuery) (*Result, error) {
	_, warnings, err := cachedAgent(ctx, b, adapters.OpDelete, nativeID)
	if err != nil {
		return nil, err
	}
	p := placement.Placement{Backend: b, Warnings: append(warnings, ifMatchWarnings(b, q)...)}
	return dryRunResult(ctx, p, []backend.Call{{Op: adapters.OpDelete, NativeID: nativeID}}, q.Lenient)
}

// cachedAgent returns the agent that a dry run is for, as far as it is known without a call: nil
// if it is not cached in full, with a warning if it is not known to exist. It fails if the agent
// is known not to exist.
func cachedAgent(ctx context.Context, b auth.CallerBackend, op adapters.Operation, nativeID string) (*normalize.Agent, []problem.Warning, error) {
	if !b.AcceptsID(backend.Call{Op: op, Credential: b.Credential, NativeID: nativeID}) {
		return nil, nil, b.AgentNotFound(nativeID)
	}
	get, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: nativeID, OnlyIfCached: true})
	switch {
	case err == nil:
		return get.Detail.Agent, nil, nil
	case normalize.KindOf(err) == normalize.KindNotFound:
		return nil, nil, b.Problem(op, nativeID, err)
	}
	list, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpList, Credential: b.Credential, OnlyIfCached: true})
	switch isFresh := len(list.Dependencies) > 0; {
	case err != nil:
	case list.Snapshot.Find(nativeID) >= 0:
		return nil, nil, nil
	case isFresh && list.Snapshot.Partial == nil:
		return nil, nil, b.AgentNotFound(nativeID)
	}
	return nil, []problem.Warning{problem.NewWarning("existence_unknown", "", b.Name, "not checked: nothing is cached that shows whether this agent exists")}, nil
}

func ifMatchWarnings(b auth.CallerBackend, q WriteQuery) []problem.Warning {
	if len(q.IfMatch) == 0 {
		return nil
	}
	return []problem.Warning{problem.NewWarning("unverified", "", b.Name, "a dry run does not check If-Match; the write itself compares it with the agent's current ETag")}
}

func dryRunResult(ctx context.Context, p placement.Placement, calls []backend.Call, lenient bool) (*Result, error) {
	requests, err := DryRunRequests(ctx, p.Backend, calls)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(dryRunBody{Object: "dry_run", Backend: p.Backend.Name, Requests: requests, Warnings: problem.BoundedWarnings(p.Warnings, problem.MaxWarnings)})
	if err != nil {
		return nil, err
	}
	return &Result{Body: payload.New(body), Lenient: lenient}, nil
}

// DryRunRequests returns the requests that the backend's adapter would send for the calls. It
// sends none of them.
func DryRunRequests(ctx context.Context, b auth.CallerBackend, calls []backend.Call) ([]DryRunRequest, error) {
	var requests []DryRunRequest
	endpoint := backend.CallAdapter(b.NewAdapter(adapters.Settings{Backend: b.Name, RoundTrip: func(_ context.Context, req *adapters.Request) error {
		path := b.Config.BaseURL.EscapedPath()
		path = strings.TrimSuffix(path, "/") + strings.ReplaceAll(req.Path, "%7Bid%7D", newAgentID)
		requests = append(requests, DryRunRequest{Method: req.Method, Path: path, Body: req.Body})
		return nil
	}}), b.Backend)
	for _, call := range calls {
		call.Credential = b.Credential
		if _, err := endpoint(ctx, call); err != nil {
			return nil, problem.FromBackend(b.Name, call.Op, err)
		}
	}
	return requests, nil
}

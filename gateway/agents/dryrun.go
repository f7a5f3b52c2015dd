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
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// dryRunBody is the answer to ?dry_run=true: what would be sent, and to whom.
type dryRunBody struct {
	Object   string            `json:"object"`
	Backend  string            `json:"backend"`
	Requests []DryRunRequest   `json:"requests"`
	Warnings []problem.Warning `json:"warnings"`
}

// DryRunRequest is a request to a backend, without its headers: the credential is in
// them. Body is null for none.
type DryRunRequest struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   jsontext.Value `json:"body"`
}

// newAgentID stands in a path for the id that the backend will give.
const newAgentID = "{id}"

func dryRunCreate(ctx context.Context, b auth.CallerBackend, change normalize.Change, activate bool, warnings []problem.Warning, lenient bool) (*Result, error) {
	calls := []backend.Call{{Op: adapters.OpCreate, Change: change}}
	if activate {
		calls = append(calls, backend.Call{Op: adapters.OpUpdate, NativeID: newAgentID, Change: activation})
	}
	return dryRunResult(ctx, b, calls, warnings, lenient)
}

// dryRunUpdate judges the patch by what is known of the agent, and says what cannot be
// judged so: the backend is not asked.
func dryRunUpdate(ctx context.Context, b auth.CallerBackend, native string, p placement, verdicts map[normalize.Field]adapters.Verdict, roundTrip bool, q WriteQuery) (*Result, error) {
	if len(q.IfMatch) > 0 || needsAgent(b.Info, p.change, verdicts, roundTrip) { // as the patch itself does
		result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, OnlyIfCached: true})
		if err == nil {
			if p, err = diff(p, verdicts, roundTrip, q.Lenient, result.Detail.Agent); err != nil {
				return nil, err
			}
		} else {
			open := unjudged(b.Info, p.change, verdicts, roundTrip)
			for _, pointer := range open {
				p.warnings = append(p.warnings, problem.NewWarning("unverified", pointer, b.Name, "whether this changes anything, and may, is only known once the agent is read"))
			}
			p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !slices.Contains(open, pointer) })
		}
	}
	p.warnings = append(p.warnings, ifMatchWarnings(b, q)...)
	if p.change.Empty() {
		return dryRunResult(ctx, b, nil, p.warnings, q.Lenient)
	}
	return dryRunResult(ctx, b, []backend.Call{{Op: adapters.OpUpdate, NativeID: native, Change: p.change}}, p.warnings, q.Lenient)
}

func dryRunDelete(ctx context.Context, b auth.CallerBackend, native string, q WriteQuery) (*Result, error) {
	return dryRunResult(ctx, b, []backend.Call{{Op: adapters.OpDelete, NativeID: native}}, ifMatchWarnings(b, q), q.Lenient)
}

func ifMatchWarnings(b auth.CallerBackend, q WriteQuery) []problem.Warning {
	if len(q.IfMatch) == 0 {
		return nil
	}
	return []problem.Warning{problem.NewWarning("unverified", "", b.Name, "If-Match is held against the agent as it is when the request is sent in earnest")}
}

// dryRunResult has the adapter make the requests of the calls, and sends none of them.
func dryRunResult(ctx context.Context, b auth.CallerBackend, calls []backend.Call, warnings []problem.Warning, lenient bool) (*Result, error) {
	answer := dryRunBody{Object: "dry_run", Backend: b.Name, Warnings: warnings}
	var err error
	if answer.Requests, err = DryRunRequests(ctx, b, calls); err != nil {
		return nil, err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &Result{Body: payload.New(body), Lenient: lenient}, nil
}

// DryRunRequests are those that the adapter makes of the calls. None of them is sent.
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

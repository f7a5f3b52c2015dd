package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// dryRun is the answer to ?dry_run=true: what would be sent, and to whom.
type dryRun struct {
	Object   string       `json:"object"`
	Backend  string       `json:"backend"`
	Requests []dryRequest `json:"requests"`
	Warnings []Warning    `json:"warnings"`
}

// dryRequest is a request to a backend, without its headers: the credential is in
// them. Body is null for none.
type dryRequest struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   jsontext.Value `json:"body"`
}

// newAgent stands in a path for the id that the backend will give.
const newAgent = "{id}"

func dryCreate(ctx context.Context, b CallerBackend, change normalize.Change, activate bool, warnings []Warning, lenient bool) (*AgentResult, error) {
	calls := []Call{{Op: adapters.OpCreate, Change: change}}
	if activate {
		calls = append(calls, Call{Op: adapters.OpUpdate, NativeID: newAgent, Change: activation})
	}
	return dry(ctx, b, calls, warnings, lenient)
}

// dryPatch judges the patch by what is known of the agent, and says what cannot be
// judged so: the backend is not asked.
func dryPatch(ctx context.Context, b CallerBackend, native string, p plan, verdicts map[normalize.Field]adapters.Verdict, roundTrip bool, q WriteQuery) (*AgentResult, error) {
	if len(q.IfMatch) > 0 || needsAgent(b.Info, p.change, verdicts, roundTrip) { // as the patch itself does
		result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, AtHand: true})
		if err == nil {
			if p, err = diff(p, verdicts, roundTrip, q.Lenient, result.Detail.Agent); err != nil {
				return nil, err
			}
		} else {
			open := unjudged(b.Info, p.change, verdicts, roundTrip)
			for _, pointer := range open {
				p.warnings = append(p.warnings, warning("unverified", pointer, b.Name, "whether this changes anything, and may, is only known once the agent is read"))
			}
			p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !slices.Contains(open, pointer) })
		}
	}
	p.warnings = append(p.warnings, unmatched(b, q)...)
	if p.change.Empty() {
		return dry(ctx, b, nil, p.warnings, q.Lenient)
	}
	return dry(ctx, b, []Call{{Op: adapters.OpUpdate, NativeID: native, Change: p.change}}, p.warnings, q.Lenient)
}

func dryDelete(ctx context.Context, b CallerBackend, native string, q WriteQuery) (*AgentResult, error) {
	return dry(ctx, b, []Call{{Op: adapters.OpDelete, NativeID: native}}, unmatched(b, q), q.Lenient)
}

func unmatched(b CallerBackend, q WriteQuery) []Warning {
	if len(q.IfMatch) == 0 {
		return nil
	}
	return []Warning{warning("unverified", "", b.Name, "If-Match is held against the agent as it is when the request is sent in earnest")}
}

// dry has the adapter make the requests of the calls, and sends none of them.
func dry(ctx context.Context, b CallerBackend, calls []Call, warnings []Warning, lenient bool) (*AgentResult, error) {
	answer := dryRun{Object: "dry_run", Backend: b.Name, Warnings: warnings}
	var err error
	if answer.Requests, err = requestsOf(ctx, b, calls); err != nil {
		return nil, err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &AgentResult{Body: payload.New(body), Lenient: lenient}, nil
}

// requestsOf are those that the adapter makes of the calls. None of them is sent.
func requestsOf(ctx context.Context, b CallerBackend, calls []Call) ([]dryRequest, error) {
	var requests []dryRequest
	endpoint := callAdapter(b.newAdapter(adapters.Settings{Backend: b.Name, RoundTrip: func(_ context.Context, req *adapters.Request) error {
		path := b.Config.BaseURL.EscapedPath()
		path = strings.TrimSuffix(path, "/") + strings.ReplaceAll(req.Path, "%7Bid%7D", newAgent)
		requests = append(requests, dryRequest{Method: req.Method, Path: path, Body: req.Body})
		return nil
	}}), b.Backend)
	for _, call := range calls {
		call.Credential = b.Credential
		if _, err := endpoint(ctx, call); err != nil {
			return nil, backendProblem(b.Name, call.Op, err)
		}
	}
	return requests, nil
}

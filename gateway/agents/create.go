package agents

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// WriteQuery is a create, a patch or a delete as it came.
type WriteQuery struct {
	ID             string // patch, delete: as it stands in the path
	Body           []byte
	Lenient        bool     // Prefer: handling=lenient
	IgnoreAliases  bool     // patch, delete: no alias is followed
	DryRun         bool     // say what would be sent, and send nothing
	IfMatch        []string // patch, delete: one for each line of the header
	IdempotencyKey string   // create; empty for none
}

// createAgent makes an agent at the backend that the body names, or at the first
// that can hold it. The body is held against the capability table before any
// backend is asked.
//
// In try it notes how far it came. If a try before it was lost, it looks for what
// that one made, and makes another only if there is certainly none.
func (s *Service) createAgent(ctx context.Context, caller *auth.Caller, q WriteQuery, try *CreateAttempt) (*Result, error) {
	body, violations, err := normalize.ParseBody(q.Body)
	if err != nil {
		return nil, problem.New(problem.CodeInvalidBody, "%s", err)
	}
	if try.OutcomeUnknown {
		body.Backend = try.Backend // the one that was chosen
	}
	plan, err := place(caller, body, violations, q.Lenient)
	if err != nil {
		return nil, err
	}
	b := plan.backend
	change, activate := plan.change, false
	if b.Info.CreatesInactive {
		status, _ := change.Text(normalize.FieldStatus)
		activate = status == normalize.StatusActive
		change = change.Without(normalize.FieldStatus)
	}
	if q.DryRun {
		return dryRunCreate(ctx, b, change, activate, plan.warnings, q.Lenient)
	}

	var agent *normalize.Agent
	if try.OutcomeUnknown {
		if agent, err = s.Reconcile(ctx, b, change, try); err != nil {
			return nil, err
		}
	}
	if agent == nil {
		if agent, err = s.SendCreate(ctx, b, change, try); err != nil {
			return nil, err
		}
	}
	warnings := plan.warnings
	if activate {
		warnings = append(warnings, s.activate(ctx, b, agent.NativeID)...)
	}
	agent, more := s.readBack(ctx, b, agent.NativeID, plan.change, agent, warnings)
	try.warnings = append(warnings, more...)
	r, err := createdResult(agent, try.warnings, q.Lenient)
	if err != nil {
		return nil, err
	}
	try.OutcomeUnknown = false
	return r, nil
}

func createdResult(agent *normalize.Agent, warnings []problem.Warning, lenient bool) (*Result, error) {
	r, err := writtenResult(agent, warnings, lenient)
	if err != nil {
		return nil, err
	}
	r.Created = true
	return r, nil
}

// SendCreate has the backend create the agent, once.
func (s *Service) SendCreate(ctx context.Context, b auth.CallerBackend, change normalize.Change, try *CreateAttempt) (*normalize.Agent, error) {
	if err := try.begin(ctx, b, cachedAgentsNamed(ctx, b, change)); err != nil {
		return nil, err
	}
	end := s.ledger.begin(b, change)
	made := ""
	defer func() {
		if try.Persist != nil { // it is this attempt's for good once that is kept
			try.endLedgerEntry = end
			return
		}
		end(made)
	}()
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpCreate, Credential: b.Credential, Change: change})
	if err != nil {
		p := problem.FromBackend(b.Name, adapters.OpCreate, err)
		try.recordFailure(b, err, p.Code == problem.CodeWriteOutcomeUnknown)
		return nil, p
	}
	made = result.Created.NativeID
	try.NativeID = made
	return result.Created, nil
}

var activation = normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: []byte(`"` + normalize.StatusActive + `"`)}}

// activate makes a fresh agent active by a second call. If that fails the
// agent is there none the less.
func (s *Service) activate(ctx context.Context, b auth.CallerBackend, native string) []problem.Warning {
	_, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: native, Change: activation})
	if err == nil {
		return nil
	}
	p := problem.FromBackend(b.Name, adapters.OpUpdate, err)
	return []problem.Warning{problem.NewWarning("activation_failed", normalize.FieldStatus.Pointer(), b.Name, fmt.Sprintf("the agent was created, but not made active (%s)", p.Code))}
}

// writtenResult returns a written agent with the warnings of the write. It has the agent's
// entity tag if the agent was read in full.
func writtenResult(agent *normalize.Agent, warnings []problem.Warning, lenient bool) (*Result, error) {
	body, err := agent.Encode()
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(warnings)
	if err != nil {
		return nil, err
	}
	r := &Result{Agent: refOf(agent), Lenient: lenient, Body: payload.New(normalize.AppendMember(body, "warnings", encoded))}
	if agent.NotLoaded.Len() == 0 {
		revision, err := agent.Revision()
		if err != nil {
			return nil, err
		}
		r.ETag = catalog.ETag(revision)
	}
	return r, nil
}

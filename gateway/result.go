package gateway

import (
	"log/slog"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// agentService lists, reads and writes agents for callers. It is safe for concurrent use.
type agentService struct {
	agentOptions
	ledger  *made
	records *creates
}

// agentOptions are what an agentService is made of.
type agentOptions struct {
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	Store     *sqlstore.Store // of idempotency keys; nil for none
	Aliases   *aliasService
	// Settings and Cursors return the current configuration and the key of its cursors.
	Settings func() config.Server
	Cursors  func() *catalog.Sealer
	// OnRead is called with each agent that was read by its id. It reports whether every
	// read of the agent has to be seen.
	OnRead func(caller *Caller, from CallerBackend, agent *normalize.Agent) bool
}

func newAgentService(o agentOptions) *agentService {
	s := &agentService{agentOptions: o, ledger: newMade()}
	s.records = newCreates(o.Store, func() time.Duration { return o.Settings().RequestTimeout.D() })
	return s
}

// ForgetKeys drops what is kept of the creates of keys that are gone.
func (s *agentService) ForgetKeys(before, now *keyring) { s.records.forget(before, now) }

// AgentResult is what a read or a write of agents gave. It is not changed once it was returned.
type AgentResult struct {
	Body  *payload.EncodedBody
	ETag  string   // empty for none
	Agent agentRef // empty for none, or several
	// Parts are the backends that were read.
	Parts []part
	// Read reports that it is a read of the caller's own data.
	Read bool
	// ReadAt is when the oldest part of it was read; zero for a write.
	ReadAt time.Time
	// Cacheable reports that the same read gives the same result until one of the cache
	// entries changes that it depends on.
	Cacheable  bool
	Incomplete bool // a list that lacks something
	Created    bool
	// Resolved is the id of the agent that an alias was resolved to; empty for no alias.
	Resolved string
	Lenient  bool // unsupported fields were dropped, as the caller asked
	Replayed bool // it is the result of an earlier request with the same Idempotency-Key
}

// agentRef identifies an agent to telemetry.
type agentRef struct{ ID, Name string }

func refTo(a *normalize.Agent) agentRef {
	if a.Name == nil {
		return agentRef{ID: a.ID}
	}
	return agentRef{a.ID, *a.Name}
}

// resolvedFrom adds to a result that it was found through an alias.
func (r *AgentResult) resolvedFrom(to lead) {
	r.Body = payload.New(normalize.AppendMember(r.Body.Plain(), "resolved_from", encoded(to.from)))
	r.Resolved = to.id
}

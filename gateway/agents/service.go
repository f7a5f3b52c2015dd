// Package agents implements the operations on agents: list (list.go), get (get.go), create
// (create.go), update (update.go) and delete (delete.go). Around them it provides dry runs,
// idempotency keys, and the reconciliation of creates whose response was lost.
//
// The package does not depend on HTTP, and reads differences between providers only from
// [adapters.Info]. Start reading at [Service.List] and [Service.Create].
package agents

import (
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/payload"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// Service performs the operations on agents. Its methods are safe for concurrent use.
type Service struct {
	Options
	turns   limit.Turns[turnKey] // of updates and deletes
	ledger  *createLedger
	records *idempotencyRecords // nil without a store
}

// Options are the dependencies of a Service. They must not be changed once requests are served.
type Options struct {
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	Store     *sqlstore.Store // stores idempotency keys; nil disables them
	Aliases   *alias.Service
	// Forget drops from the cache what a write to an agent may have changed.
	Forget func(b auth.CallerBackend, nativeID string)
	// Settings returns the server settings of the current configuration.
	Settings func() config.Server
	// Cursors returns the sealer of list cursors of the current configuration.
	Cursors func() *catalog.Sealer
	// OnRead is called with each agent that [Service.Get] returns. It reports whether it
	// must be called for every read of this agent, so that the result may not be cached.
	OnRead func(caller *auth.Caller, from auth.CallerBackend, agent *normalize.Agent) bool
}

// New returns a Service.
func New(o Options) *Service {
	s := &Service{Options: o, ledger: newCreateLedger()}
	s.records = newIdempotencyRecords(o.Store, func() time.Duration { return o.Settings().RequestTimeout.D() })
	return s
}

// ForgetKeys drops from memory what was kept for the API keys that are in before and not in now.
func (s *Service) ForgetKeys(before, now *auth.Keyring) { s.records.forget(before, now) }

// Result is the outcome of an operation. It is immutable once returned.
type Result struct {
	Body  *payload.EncodedBody // nil for none
	ETag  string               // empty for none
	Agent Ref                  // zero for a list or a dry run
	// Changed are the pointers of the fields that a create or an update sent.
	Changed []string
	// Sources are the backends that a read used, in the order of the configuration.
	Sources []Source
	// IsRead reports that the operation read the caller's data.
	IsRead bool
	// ReadAt is when the oldest data in the result was read; zero for a write.
	ReadAt time.Time
	// Cacheable reports that the same request yields the same result until one of the
	// sources' Dependencies changes.
	Cacheable bool
	// Incomplete reports that a list lacks agents or fields.
	Incomplete bool
	Created    bool
	// ResolvedID is the id of the agent that an alias resolved to; empty without an alias.
	ResolvedID string
	// Lenient reports that the caller asked for unsupported fields to be dropped.
	Lenient bool
	// Replayed reports that an earlier request with the same Idempotency-Key did the work.
	Replayed bool
}

// Ref identifies an agent in telemetry.
type Ref struct{ ID, Name string }

func refOf(a *normalize.Agent) Ref {
	if a.Name == nil {
		return Ref{ID: a.ID}
	}
	return Ref{a.ID, *a.Name}
}

// addResolvedFrom adds the alias by which the agent was found to the result.
func (r *Result) addResolvedFrom(to alias.Target) {
	r.addMember("resolved_from", to.Alias)
	r.ResolvedID = to.ID
}

// addMember adds a member to the JSON object of the body.
func (r *Result) addMember(name string, value any) {
	r.Body = payload.New(normalize.AppendMember(r.Body.Plain(), name, MustMarshal(value)))
}

// MustMarshal returns v as JSON. It panics if v cannot be encoded, so it is only for types whose
// values always can.
func MustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

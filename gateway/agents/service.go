// Package agents lists, reads, creates, updates and deletes agents for callers: one use case
// a file (list.go, get.go, create.go, update.go, delete.go), with dry runs, idempotency keys
// and the search for agents of lost creates.
//
// It may not know HTTP. What differs between providers it asks their adapters.Info.
// Begin with [Service.List] and [Service.Create].
package agents

import (
	"log/slog"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// Service lists, reads and writes agents for callers. It is safe for concurrent use.
type Service struct {
	Options
	ledger  *createLedger
	records *idempotencyRecords
}

// Options are what an agentService is made of.
type Options struct {
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	Store     *sqlstore.Store // of idempotency keys; nil for none
	Aliases   *alias.Service
	// Settings and Cursors return the current configuration and the key of its cursors.
	Settings func() config.Server
	Cursors  func() *catalog.Sealer
	// OnRead is called with each agent that was read by its id. It reports whether every
	// read of the agent has to be seen.
	OnRead func(caller *auth.Caller, from auth.CallerBackend, agent *normalize.Agent) bool
}

func New(o Options) *Service {
	s := &Service{Options: o, ledger: newCreateLedger()}
	s.records = newIdempotencyRecords(o.Store, func() time.Duration { return o.Settings().RequestTimeout.D() })
	return s
}

// ForgetKeys drops what is kept of the creates of keys that are gone.
func (s *Service) ForgetKeys(before, now *auth.Keyring) { s.records.forget(before, now) }

// Result is what a read or a write of agents gave. It is not changed once it was returned.
type Result struct {
	Body  *payload.EncodedBody
	ETag  string // empty for none
	Agent Ref    // empty for none, or several
	// Sources are the backends that were read.
	Sources []Source
	// IsRead reports that it is a read of the caller's own data.
	IsRead bool
	// ReadAt is when the oldest part of it was read; zero for a write.
	ReadAt time.Time
	// Cacheable reports that the same read gives the same result until one of the cache
	// entries changes that it depends on.
	Cacheable  bool
	Incomplete bool // a list that lacks something
	Created    bool
	// ResolvedID is the id of the agent that an alias was resolved to; empty for no alias.
	ResolvedID string
	Lenient    bool // unsupported fields were dropped, as the caller asked
	Replayed   bool // it is the result of an earlier request with the same Idempotency-Key
}

// Ref identifies an agent to telemetry.
type Ref struct{ ID, Name string }

func refOf(a *normalize.Agent) Ref {
	if a.Name == nil {
		return Ref{ID: a.ID}
	}
	return Ref{a.ID, *a.Name}
}

// addResolvedFrom adds to a result that it was found through an alias.
func (r *Result) addResolvedFrom(to alias.Target) {
	r.Body = payload.New(normalize.AppendMember(r.Body.Plain(), "resolved_from", MustMarshal(to.Alias)))
	r.ResolvedID = to.ID
}

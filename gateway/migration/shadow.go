package migration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// ShadowInput is the body of POST …/shadow.
type ShadowInput struct {
	Percent int64  `json:"percent"` // of the reads of the source, 1 to 100; 0 stops shadow reads
	For     string `json:"for"`     // a duration, such as "1h"
}

// maxShadowDuration is the longest duration of shadow reads.
const maxShadowDuration = 30 * 24 * time.Hour

// Shadow starts or stops shadow reads: a share of the reads of the source reads the target,
// too, and the differences are counted.
func (s *Service) Shadow(ctx context.Context, r Request, body ShadowInput) (*View, error) {
	if body.Percent < 0 || body.Percent > 100 {
		return nil, problem.InvalidField("/percent", normalize.InvalidValue, "must be 1 to 100, or 0 to stop shadow reads")
	}
	length, err := time.ParseDuration(body.For)
	if body.Percent > 0 && (err != nil || length <= 0 || length > maxShadowDuration) {
		return nil, problem.InvalidField("/for", normalize.InvalidValue, fmt.Sprintf("must be a duration such as 1h, at most %s", maxShadowDuration))
	}
	return s.runStep(ctx, r, migrate.StepShadow, func(ctx context.Context, m *migration) error {
		m.row.ShadowPercent, m.row.ShadowUntil = body.Percent, alias.Now().Add(length)
		detail := fmt.Sprintf("%d%% of reads until %s", body.Percent, m.row.ShadowUntil.UTC().Format(time.RFC3339))
		if m.row.State = migrate.Shadowing; body.Percent == 0 {
			m.row.State, m.row.ShadowUntil, detail = migrate.Verified, alias.Now(), "stopped"
		}
		return m.save(ctx, migrate.StepShadow, detail)
	})
}

// shadowReader reads targets in the background, at a lower priority than the requests of
// clients, and compares them with their sources. It is safe for concurrent use.
type shadowReader struct {
	service *Service
	slots   chan struct{} // semaphore; a read that finds no slot is skipped
	running sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc

	mu        sync.Mutex
	documents map[string]cachedDocument                 // by migration id
	counts    map[string]map[sqlstore.ShadowCount]int64 // by migration id, minute and field; Count is 0 in the keys
}

// cachedDocument is a migration's document, valid as long as the table is current.
type cachedDocument struct {
	table *alias.Table
	doc   document
}

const (
	// maxShadowReads bounds the concurrent reads of targets.
	maxShadowReads = 8
	// shadowReadTimeout bounds the read of one target.
	shadowReadTimeout = 10 * time.Second
)

// newShadowReader returns a reader that flushes its counts regularly until close.
func newShadowReader(m *Service) *shadowReader {
	ctx, stop := context.WithCancel(context.Background())
	s := &shadowReader{service: m, slots: make(chan struct{}, maxShadowReads), ctx: ctx, stop: stop, documents: map[string]cachedDocument{}, counts: map[string]map[sqlstore.ShadowCount]int64{}}
	if m.Store != nil {
		s.running.Go(func() { alias.Poll(ctx, func() { s.flush(ctx, m.Store) }) })
	}
	return s
}

func (s *shadowReader) close() {
	s.stop()
	s.running.Wait()
}

// OnRead is called for each read of an agent. It starts a shadow read for the configured
// share of them, and reports whether the agent is a source with shadow reads at all.
func (s *Service) OnRead(caller *auth.Caller, source auth.CallerBackend, agent *normalize.Agent) (hasShadow bool) {
	table := s.Aliases.Current()
	for _, shadow := range table.Shadows(agent.ID) {
		target, ok := caller.Backend(alias.ParseStoredID(shadow.Target).Backend)
		if !ok || source.Account != shadow.SourceCredential || !isShadowed(shadow, time.Now()) {
			continue
		}
		hasShadow = true
		if rand.Int64N(100) < shadow.Percent {
			s.shadows.start(shadow, table, source, target, agent)
		}
	}
	return hasShadow
}

// isShadowed reports whether shadow reads are active at that time.
func isShadowed(s sqlstore.Shadow, now time.Time) bool { return s.Percent > 0 && now.Before(s.Until) }

// start compares source and target in the background, unless all slots are taken.
func (s *shadowReader) start(shadow sqlstore.Shadow, table *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
	select {
	case s.slots <- struct{}{}:
	default:
		return
	}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(backend.WithBackgroundPriority(s.ctx), shadowReadTimeout)
		defer cancel()
		_ = backend.RecoverPanic(ctx, to.Backend, "get", s.service.Log, func() { s.compare(ctx, shadow, table, from, to, source) })
	})
}

// compare reads the target and counts the fields that differ from the plan of this source.
func (s *shadowReader) compare(ctx context.Context, shadow sqlstore.Shadow, table *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
	doc, ok := s.document(ctx, shadow.MigrationID, table)
	if !ok {
		return
	}
	target, err := s.service.Agents.ReadFresh(ctx, to, alias.ParseStoredID(shadow.Target).Native)
	if err != nil {
		return // failed calls are counted in the metrics of the backend
	}
	plan, violations := migrate.Make(source, from.Info, to.Info, doc.Options)
	if len(violations) > 0 {
		return
	}
	s.count(shadow.MigrationID, "")
	s.service.Telemetry.CountShadowRead()
	for _, path := range migrate.Differences(migrate.Compare(plan.Change, target.Agent, to.Info)) {
		s.count(shadow.MigrationID, path)
		s.service.Telemetry.CountShadowMismatch(metricField(path))
	}
}

// ShadowFields returns the values of the field label of the mismatch metric.
func ShadowFields() (names []string) {
	for _, f := range normalize.AllFields() {
		if !f.ReadOnly() {
			names = append(names, f.Name())
		}
	}
	return names
}

// metricField returns the label value for a path: the field's name, or "extensions" for all
// extension fields, which keeps the number of label values small.
func metricField(path string) string {
	for _, f := range normalize.AllFields() {
		if f.Pointer() == path {
			return f.Name()
		}
	}
	return normalize.FieldExtensions.Name()
}

// document returns a migration's document. It reads the store once per table.
func (s *shadowReader) document(ctx context.Context, id string, table *alias.Table) (document, bool) {
	s.mu.Lock()
	known, ok := s.documents[id]
	s.mu.Unlock()
	if ok && known.table == table {
		return known.doc, true
	}
	row, found, err := s.service.Store.Migration(ctx, id)
	if err != nil || !found {
		return document{}, false
	}
	var doc document
	opened, err := s.service.Cipher.Open(row.ID, row.Document)
	if err != nil || json.Unmarshal(opened, &doc) != nil {
		return document{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, e := range s.documents {
		if e.table != table {
			delete(s.documents, other)
		}
	}
	s.documents[id] = cachedDocument{table, doc}
	return doc, true
}

// count counts a read, or a difference if path is not empty.
func (s *shadowReader) count(id, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[id] == nil {
		s.counts[id] = map[sqlstore.ShadowCount]int64{}
	}
	s.counts[id][sqlstore.ShadowCount{Minute: time.Now().UTC().Truncate(time.Minute), Field: path}]++
}

// flush adds the counts to the store. Those that cannot be written are kept for the next
// flush.
func (s *shadowReader) flush(ctx context.Context, store *sqlstore.Store) {
	s.mu.Lock()
	counted := s.counts
	s.counts = map[string]map[sqlstore.ShadowCount]int64{}
	s.mu.Unlock()
	for id, counts := range counted {
		var list []sqlstore.ShadowCount
		for c, n := range counts {
			c.Count = n
			list = append(list, c)
		}
		if store.AddShadowCounts(ctx, id, list) == nil {
			continue
		}
		s.mu.Lock()
		for c, n := range counts {
			if s.counts[id] == nil {
				s.counts[id] = map[sqlstore.ShadowCount]int64{}
			}
			s.counts[id][c] += n
		}
		s.mu.Unlock()
	}
}

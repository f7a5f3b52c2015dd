package migration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agentgw/agentgw/gateway/problem"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// ShadowInput is the body of POST …/shadow.
type ShadowInput struct {
	Percent int64  `json:"percent"`
	For     string `json:"for"`
}

// maxShadowDuration bounds how long a target is read along.
const maxShadowDuration = 30 * 24 * time.Hour

// Shadow has a share of the reads of the source read the target too.
func (s *Service) Shadow(ctx context.Context, r Request, body ShadowInput) (*View, error) {
	if body.Percent < 0 || body.Percent > 100 {
		return nil, problem.InvalidField("/percent", normalize.InvalidValue, "from 1 to 100, or 0 to end it")
	}
	length, err := time.ParseDuration(body.For)
	if body.Percent > 0 && (err != nil || length <= 0 || length > maxShadowDuration) {
		return nil, problem.InvalidField("/for", normalize.InvalidValue, fmt.Sprintf("a duration such as 1h, at most %s", maxShadowDuration))
	}
	return s.runStep(ctx, r, migrate.StepShadow, func(ctx context.Context, m *migration) error {
		m.row.ShadowPercent, m.row.ShadowUntil = body.Percent, alias.Now().Add(length)
		detail := fmt.Sprintf("%d %% of reads until %s", body.Percent, m.row.ShadowUntil.UTC().Format(time.RFC3339))
		if m.row.State = migrate.Shadowing; body.Percent == 0 {
			m.row.State, m.row.ShadowUntil, detail = migrate.Verified, alias.Now(), "ended"
		}
		return m.save(ctx, migrate.StepShadow, detail)
	})
}

// shadowReader reads targets beside their sources, out of the way of those who read the
// sources. It is safe for concurrent use.
type shadowReader struct {
	service *Service
	slots   chan struct{} // more at once are left out
	running sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc

	mu        sync.Mutex
	documents map[string]cachedDocument                 // by the migration's id
	counts    map[string]map[sqlstore.ShadowCount]int64 // Count is 0 in the keys
}

// cachedDocument is what a target is to be like, as of a version of the routing.
type cachedDocument struct {
	table *alias.Table
	doc   document
}

const (
	// maxShadowReads is how many targets are read at once.
	maxShadowReads = 8
	// shadowReadTimeout bounds one such read.
	shadowReadTimeout = 10 * time.Second
)

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

// OnRead reads the target of an agent that is just being answered, if its share of the
// reads says so. It reports whether the agent has such a target at all.
func (s *Service) OnRead(caller *auth.Caller, source auth.CallerBackend, agent *normalize.Agent) (has bool) {
	table := s.Aliases.Current()
	for _, shadow := range table.Shadows(agent.ID) {
		target, ok := caller.Backend(alias.ParseStoredID(shadow.Target).Backend)
		if !ok || source.Account != shadow.SourceCredential || !isShadowed(shadow, time.Now()) {
			continue
		}
		has = true
		if rand.Int64N(100) < shadow.Percent {
			s.shadows.start(shadow, table, source, target, agent)
		}
	}
	return has
}

// isShadowed reports whether reads of the source read the target along at that time.
func isShadowed(s sqlstore.Shadow, now time.Time) bool { return s.Percent > 0 && now.Before(s.Until) }

// start compares in the background, unless enough of that is done already.
func (s *shadowReader) start(shadow sqlstore.Shadow, r *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
	select {
	case s.slots <- struct{}{}:
	default:
		return
	}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(backend.WithBackgroundPriority(s.ctx), shadowReadTimeout)
		defer cancel()
		_ = backend.RecoverPanic(ctx, to.Backend, "get", s.service.Log, func() { s.compare(ctx, shadow, r, from, to, source) })
	})
}

func (s *shadowReader) compare(ctx context.Context, shadow sqlstore.Shadow, r *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
	doc, ok := s.document(ctx, shadow.MigrationID, r)
	if !ok {
		return
	}
	target, err := s.service.Agents.ReadFresh(ctx, to, alias.ParseStoredID(shadow.Target).Native)
	if err != nil {
		return // the target's own failures are its backend's to show
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

// ShadowFields are those that can differ, as the metric has them.
func ShadowFields() (names []string) {
	for _, f := range normalize.AllFields() {
		if !f.ReadOnly() {
			names = append(names, f.Name())
		}
	}
	return names
}

// metricField bounds what a metric's label can be: a field's name, or extensions.
func metricField(path string) string {
	for _, f := range normalize.AllFields() {
		if f.Pointer() == path {
			return f.Name()
		}
	}
	return normalize.FieldExtensions.Name()
}

// document is a migration's, read once for each routing.
func (s *shadowReader) document(ctx context.Context, id string, r *alias.Table) (document, bool) {
	s.mu.Lock()
	known, ok := s.documents[id]
	s.mu.Unlock()
	if ok && known.table == r {
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
		if e.table != r {
			delete(s.documents, other)
		}
	}
	s.documents[id] = cachedDocument{r, doc}
	return doc, true
}

func (s *shadowReader) count(id, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[id] == nil {
		s.counts[id] = map[sqlstore.ShadowCount]int64{}
	}
	s.counts[id][sqlstore.ShadowCount{Minute: time.Now().UTC().Truncate(time.Minute), Field: path}]++
}

// flush writes what was counted into the store. What cannot be written now is next time.
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

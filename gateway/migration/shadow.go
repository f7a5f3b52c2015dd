package migration

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// ShadowReader reads targets beside their sources, out of the way of those who read the
// sources. It is safe for concurrent use.
type ShadowReader struct {
	service *Service
	places  chan struct{} // more at once are left out
	running sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc

	mu       sync.Mutex
	expected map[string]expected                       // by the migration's id
	counts   map[string]map[sqlstore.ShadowCount]int64 // Count is 0 in the keys
}

// expected is what a target is to be like, as of a version of the routing.
type expected struct {
	routing *alias.Table
	doc     document
}

const (
	// shadowPlaces is how many targets are read at once.
	shadowPlaces = 8
	// shadowFor bounds one such read.
	shadowFor = 10 * time.Second
)

func newShadowReader(m *Service) *ShadowReader {
	ctx, stop := context.WithCancel(context.Background())
	s := &ShadowReader{service: m, places: make(chan struct{}, shadowPlaces), ctx: ctx, stop: stop, expected: map[string]expected{}, counts: map[string]map[sqlstore.ShadowCount]int64{}}
	if m.Store != nil {
		s.running.Go(func() { alias.Poll(ctx, func() { s.keep(ctx, m.Store) }) })
	}
	return s
}

func (s *ShadowReader) close() {
	s.stop()
	s.running.Wait()
}

// OnRead reads the target of an agent that is just being answered, if its share of the
// reads says so. It reports whether the agent has such a target at all.
func (s *Service) OnRead(caller *auth.Caller, source auth.CallerBackend, agent *normalize.Agent) (has bool) {
	routing := s.Aliases.Current()
	if len(routing.Shadows) == 0 {
		return false
	}
	for _, shadow := range routing.Shadows[agent.ID] {
		target, ok := caller.Backend(alias.ParseStoredID(shadow.Target).Backend)
		if !ok || source.Account != shadow.SourceCredential || !shadowed(shadow, time.Now()) {
			continue
		}
		has = true
		if rand.Int64N(100) < shadow.Percent {
			s.shadows.begin(shadow, routing, source, target, agent)
		}
	}
	return has
}

// shadowed reports whether reads of the source read the target along at that time.
func shadowed(s sqlstore.Shadow, now time.Time) bool { return s.Percent > 0 && now.Before(s.Until) }

// begin compares in the background, unless enough of that is done already.
func (s *ShadowReader) begin(shadow sqlstore.Shadow, r *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
	select {
	case s.places <- struct{}{}:
	default:
		return
	}
	s.running.Go(func() {
		defer func() { <-s.places }()
		ctx, cancel := context.WithTimeout(backend.WithBackgroundPriority(s.ctx), shadowFor)
		defer cancel()
		_ = backend.RecoverPanic(ctx, to.Backend, "get", s.service.Log, func() { s.compare(ctx, shadow, r, from, to, source) })
	})
}

func (s *ShadowReader) compare(ctx context.Context, shadow sqlstore.Shadow, r *alias.Table, from, to auth.CallerBackend, source *normalize.Agent) {
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
		s.service.Telemetry.CountShadowMismatch(fieldOf(path))
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

// fieldOf bounds what a metric's label can be: a field's name, or extensions.
func fieldOf(path string) string {
	for _, f := range normalize.AllFields() {
		if f.Pointer() == path {
			return f.Name()
		}
	}
	return normalize.FieldExtensions.Name()
}

// document is a migration's, read once for each routing.
func (s *ShadowReader) document(ctx context.Context, id string, r *alias.Table) (document, bool) {
	s.mu.Lock()
	known, ok := s.expected[id]
	s.mu.Unlock()
	if ok && known.routing == r {
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
	for other, e := range s.expected {
		if e.routing != r {
			delete(s.expected, other)
		}
	}
	s.expected[id] = expected{r, doc}
	return doc, true
}

func (s *ShadowReader) count(id, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[id] == nil {
		s.counts[id] = map[sqlstore.ShadowCount]int64{}
	}
	s.counts[id][sqlstore.ShadowCount{Minute: time.Now().UTC().Truncate(time.Minute), Field: path}]++
}

// keep writes what was counted into the store. What cannot be written now is next time.
func (s *ShadowReader) keep(ctx context.Context, store *sqlstore.Store) {
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

package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// ListQuery is what is asked of a list.
type ListQuery struct {
	Backends  []string // none: all that the key maps to
	Providers []string // none: all
	catalog.Query
	Full bool // view=full
	// Collapse leaves out agents that an alias supersedes.
	Collapse bool
	Raw      bool
	Limit    int
	Cursor   string
	Fresh    bool
	// RequireAll and Require turn a list into a problem if any source, or one
	// of these, is not ok.
	RequireAll bool
	Require    []string
}

// Source statuses.
const (
	SourceOK      = "ok"
	SourceStale   = "stale"
	SourcePartial = "partial"
	SourceError   = "error"
)

// Source is one backend's part of a list.
type Source struct {
	Backend     string              `json:"backend"`
	Status      string              `json:"status"`
	Count       int                 `json:"count"`
	FetchedAt   *time.Time          `json:"fetched_at,omitzero"`
	Unavailable *normalize.FieldSet `json:"unavailable,omitzero"`
	NotLoaded   *normalize.FieldSet `json:"not_loaded,omitzero"`
	// Unfiltered are the fields that a filter could not be applied to, because
	// some of this source's agents do not show them.
	Unfiltered *normalize.FieldSet `json:"unfiltered,omitzero"`
	Error      *SourceFailure      `json:"error,omitzero"`
}

// SourceFailure is why a source is not ok.
type SourceFailure struct {
	Code        Code `json:"code"`
	RetryAfterS *int `json:"retry_after_s"`
}

// Warning is something that a caller should know of an answer that is none the
// less good.
type Warning struct {
	Code    string  `json:"code"`
	Path    *string `json:"path"` // JSON pointer
	Backend *string `json:"backend"`
	Message string  `json:"message"`
}

// part is what became of one backend in a list.
type part struct {
	backend  CallerBackend
	snapshot *catalog.Snapshot
	details  map[int]*catalog.Detail // rows that were read in full, by index; nil if they could not be
	gone     map[int]bool            // rows that are not there after all, by index
	stale    bool                    // the snapshot is an older one
	source   Source
	failure  *Problem // why the source is not ok; nil if only a filter could not be applied
	cache    CacheStatus
	took     time.Duration
	listed   time.Time // when the snapshot was read
	fetched  time.Time // its oldest part
	// dependencies are the cache entries that all of it was served from; none where it
	// came from elsewhere, too.
	dependencies []dependency
}

// list asks all backends at the same time and answers one page of what they
// have. A backend that fails is its source's error and costs the others nothing.
func (s *agentService) list(ctx context.Context, caller *Caller, q ListQuery) (*AgentResult, error) {
	backends, err := chosen(caller, q)
	if err != nil {
		return nil, err
	}
	all := names(backends)
	walk, err := s.resume(caller, q, all)
	if err != nil {
		return nil, err
	}
	if resumed := walk.Backends(); resumed != nil {
		backends = slices.DeleteFunc(backends, func(b CallerBackend) bool { return !slices.Contains(resumed, b.Name) })
	}
	parts := s.fanOut(ctx, backends, q)
	if q.Collapse {
		s.collapse(caller, parts)
	}
	if q.Full {
		s.loadNeeded(ctx, parts, q)
	}
	found := catalog.Paginate(q.Query, walk, all, catalogParts(parts, q), q.Limit)
	for q.Full && s.loadPage(ctx, parts, found, q) { // some of it is not there after all
		found = catalog.Paginate(q.Query, walk, all, catalogParts(parts, q), q.Limit)
	}
	for i := range parts {
		s.settle(&parts[i], i, found, q)
	}
	if p := incomplete(parts, q); p != nil {
		return nil, p
	}
	return s.answerList(parts, found, q, walk)
}

func catalogParts(parts []part, q ListQuery) []catalog.Part {
	of := make([]catalog.Part, len(parts))
	for i, p := range parts {
		of[i] = catalog.Part{Backend: p.backend.Name, Snapshot: p.snapshot, Stale: p.stale, Gone: p.gone}
		if q.Full {
			of[i].Needed = q.Fields()
		}
		of[i].Code = string(CodeUpstreamError)
		if p.failure != nil {
			of[i].Code = string(p.failure.Code)
		}
	}
	return of
}

// chosen are the backends that a list is of, in the order of the
// configuration.
func chosen(caller *Caller, q ListQuery) ([]CallerBackend, error) {
	for _, name := range slices.Concat(q.Backends, q.Require) {
		if _, ok := caller.Backend(name); !ok {
			p := unknownBackend(caller, name)
			if slices.Contains(q.Require, name) {
				p.Detail += "; require=all means all of them"
			}
			return nil, p
		}
	}
	var backends []CallerBackend
	for _, b := range caller.backends {
		if len(q.Backends) > 0 && !slices.Contains(q.Backends, b.Name) {
			continue
		}
		if len(q.Providers) > 0 && !slices.Contains(q.Providers, b.Info.Provider) {
			continue
		}
		backends = append(backends, b)
	}
	if len(backends) == 0 && len(q.Backends) > 0 {
		return nil, newProblem(CodeInvalidParameter, "no backend of backend=%s is of provider=%s", strings.Join(q.Backends, ","), strings.Join(q.Providers, ","))
	}
	for _, name := range q.Require {
		if !slices.Contains(names(backends), name) {
			return nil, newProblem(CodeInvalidParameter, "require=%s is not among the backends that are asked for", name)
		}
	}
	return backends, nil
}

func unknownBackend(caller *Caller, name string) *Problem {
	detail := "the key maps to " + strings.Join(caller.Names(), ", ")
	if len(caller.backends) == 0 {
		detail = "the key maps to no backend"
	}
	if near := normalize.Nearest(name, caller.Names()); near != "" {
		detail += "; did you mean " + near + "?"
	}
	return newProblem(CodeBackendNotFound, "no backend %q: %s", normalize.Shorten(name), detail)
}

// fanOut asks every backend whose answer is not at hand, each in a goroutine of
// its own.
func (s *agentService) fanOut(ctx context.Context, backends []CallerBackend, q ListQuery) []part {
	ctx, span := s.Telemetry.StartSpan(ctx, "fanout")
	defer span.End()
	parts := make([]part, len(backends))
	var wg sync.WaitGroup
	for i, b := range backends {
		call := Call{Op: adapters.OpList, Credential: b.Credential, Fresh: q.Fresh, AtHand: !q.Fresh}
		if call.AtHand {
			started := time.Now()
			result, err := b.Endpoint(ctx, call)
			if err != errNotAtHand {
				parts[i] = partOf(b, result, err, time.Since(started))
				continue
			}
			call.AtHand = false
		}
		wg.Go(func() {
			started := time.Now()
			err := safely(ctx, b.Backend, adapters.OpList, s.Log, func() {
				result, err := b.Endpoint(ctx, call)
				parts[i] = partOf(b, result, err, time.Since(started))
			})
			if err != nil {
				parts[i] = partOf(b, Result{}, err, time.Since(started))
			}
		})
	}
	wg.Wait()
	traceParts(span, parts)
	return parts
}

func partOf(b CallerBackend, result Result, err error, took time.Duration) part {
	p := part{backend: b, cache: result.Cache, took: took, dependencies: result.dependencies, source: Source{Backend: b.Name, Status: SourceOK}}
	if err != nil {
		p.fail(SourceError, adapters.OpList, err)
		return p
	}
	p.snapshot, p.listed, p.fetched = result.Snapshot, result.Fetched, result.Fetched
	switch {
	case result.Stale != nil:
		p.stale = true
		p.fail(SourceStale, adapters.OpList, result.Stale)
	case p.snapshot.Partial != nil:
		p.fail(SourcePartial, adapters.OpList, p.snapshot.Partial)
	}
	return p
}

// fail takes note of why the source is not ok. What was said first stands, but
// that some of it is missing goes before that it is old.
func (p *part) fail(status string, op adapters.Operation, err error) {
	if p.source.Status == SourceOK || p.source.Status == SourceStale && status == SourcePartial {
		p.failed(status, backendProblem(p.backend.Name, op, err))
	}
}

func (p *part) failed(status string, failure *Problem) {
	p.source.Status, p.failure = status, failure
	p.source.Error = &SourceFailure{Code: failure.Code}
	if failure.RetryAfter > 0 {
		s := retryAfterSeconds(failure.RetryAfter)
		p.source.Error.RetryAfterS = &s
	}
}

// settle completes what is said of a source by what the page found in it.
func (s *agentService) settle(p *part, i int, page catalog.Page, q ListQuery) {
	found := page.Parts[i]
	p.source.Count = found.Count
	if p.snapshot != nil {
		fetched := p.listed.UTC().Truncate(time.Second)
		p.source.FetchedAt = &fetched
		unavailable, notLoaded := p.sets(i, page, q)
		p.source.Unavailable, p.source.NotLoaded = &unavailable, &notLoaded
		if found.Unfiltered != 0 {
			p.source.Unfiltered = &found.Unfiltered
		}
	}
	if found.EarlierCode != "" && (p.source.Status == SourceOK || p.source.Status == SourceStale && found.Omitted) {
		failure := newProblem(Code(found.EarlierCode), "backend %s could not be read in full on an earlier page", p.backend.Name)
		failure.Backend = &p.backend.Name
		p.failed(SourcePartial, failure)
	}
	if p.source.Unfiltered != nil && (p.source.Status == SourceOK || p.source.Status == SourceStale) {
		p.source.Status = SourcePartial
	}
	if p.failure != nil { // not where only a caller's filter could not be applied
		s.Telemetry.CountIncompleteList(p.backend.Name)
	}
}

// incomplete is the problem that a list is: of all its sources, of the only
// one asked for, or of one that the caller requires.
func incomplete(parts []part, q ListQuery) *Problem {
	allFailed := true
	var unfiltered []part
	for _, p := range parts {
		allFailed = allFailed && p.source.Status == SourceError
		if p.source.Status == SourceOK || !q.RequireAll && !slices.Contains(q.Require, p.backend.Name) {
			continue
		}
		if p.failure != nil {
			return withSources(p.failure, parts)
		}
		unfiltered = append(unfiltered, p)
	}
	switch {
	case len(parts) > 0 && allFailed:
		return withSources(parts[0].failure, parts)
	case len(unfiltered) > 0:
		return withSources(cannotFilter(unfiltered, q), parts)
	}
	return nil
}

// cannotFilter is the problem that a filter is which the sources cannot have
// applied to them.
func cannotFilter(sources []part, q ListQuery) *Problem {
	var which []string
	loadable := false
	for _, p := range sources {
		which = append(which, fmt.Sprintf("%s (%s)", p.backend.Name, strings.Join(p.source.Unfiltered.Names(), ", ")))
		loadable = loadable || *p.source.Unfiltered&p.snapshot.NotLoaded != 0
	}
	cure := "leave the filter or the requirement out"
	if loadable && !q.Full {
		cure += ", or ask for view=full, which reads more"
	}
	problem := newProblem(CodeInvalidParameter, "not every agent of these shows what is filtered by: %s; %s", strings.Join(which, ", "), cure)
	problem.Backend = &sources[0].backend.Name
	return problem
}

func withSources(p *Problem, parts []part) *Problem {
	problem := *p
	for _, part := range parts {
		problem.Sources = append(problem.Sources, part.source)
	}
	return &problem
}

// collapse leaves out the agents that an alias supersedes.
func (s *agentService) collapse(caller *Caller, parts []part) {
	for i := range parts {
		p := &parts[i]
		if p.snapshot == nil {
			continue
		}
		for _, native := range s.Aliases.supersededAt(caller, p.backend.Name) {
			if row := p.snapshot.Find(native); row >= 0 {
				p.leaveOut(row)
			}
		}
	}
}

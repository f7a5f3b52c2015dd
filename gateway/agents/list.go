package agents

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
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

// Part is what became of one backend in a list.
type Part struct {
	Backend  auth.CallerBackend
	snapshot *catalog.Snapshot
	details  map[int]*catalog.Detail // rows that were read in full, by index; nil if they could not be
	gone     map[int]bool            // rows that are not there after all, by index
	stale    bool                    // the snapshot is an older one
	Source   problem.Source
	Failure  *problem.Problem // why the source is not ok; nil if only a filter could not be applied
	Cache    backend.CacheStatus
	Took     time.Duration
	listed   time.Time // when the snapshot was read
	fetched  time.Time // its oldest part
	// Dependencies are the cache entries that all of it was served from; none where it
	// came from elsewhere, too.
	Dependencies []backend.Dependency
}

// List asks all backends at the same time and answers one page of what they
// have. A backend that fails is its source's error and costs the others nothing.
func (s *Service) List(ctx context.Context, caller *auth.Caller, q ListQuery) (*Result, error) {
	backends, err := selectBackends(caller, q)
	if err != nil {
		return nil, err
	}
	all := auth.Names(backends)
	walk, err := s.resume(caller, q, all)
	if err != nil {
		return nil, err
	}
	if resumed := walk.Backends(); resumed != nil {
		backends = slices.DeleteFunc(backends, func(b auth.CallerBackend) bool { return !slices.Contains(resumed, b.Name) })
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

func catalogParts(parts []Part, q ListQuery) []catalog.Part {
	of := make([]catalog.Part, len(parts))
	for i, p := range parts {
		of[i] = catalog.Part{Backend: p.Backend.Name, Snapshot: p.snapshot, Stale: p.stale, Gone: p.gone}
		if q.Full {
			of[i].Needed = q.Fields()
		}
		of[i].Code = string(problem.CodeUpstreamError)
		if p.Failure != nil {
			of[i].Code = string(p.Failure.Code)
		}
	}
	return of
}

// selectBackends are the backends that a list is of, in the order of the
// configuration.
func selectBackends(caller *auth.Caller, q ListQuery) ([]auth.CallerBackend, error) {
	for _, name := range slices.Concat(q.Backends, q.Require) {
		if _, ok := caller.Backend(name); !ok {
			p := auth.UnknownBackend(caller, name)
			if slices.Contains(q.Require, name) {
				p.Detail += "; require=all means all of them"
			}
			return nil, p
		}
	}
	var backends []auth.CallerBackend
	for _, b := range caller.Backends {
		if len(q.Backends) > 0 && !slices.Contains(q.Backends, b.Name) {
			continue
		}
		if len(q.Providers) > 0 && !slices.Contains(q.Providers, b.Info.Provider) {
			continue
		}
		backends = append(backends, b)
	}
	if len(backends) == 0 && len(q.Backends) > 0 {
		return nil, problem.New(problem.CodeInvalidParameter, "no backend of backend=%s is of provider=%s", strings.Join(q.Backends, ","), strings.Join(q.Providers, ","))
	}
	for _, name := range q.Require {
		if !slices.Contains(auth.Names(backends), name) {
			return nil, problem.New(problem.CodeInvalidParameter, "require=%s is not among the backends that are asked for", name)
		}
	}
	return backends, nil
}

// fanOut asks every backend whose answer is not at hand, each in a goroutine of
// its own.
func (s *Service) fanOut(ctx context.Context, backends []auth.CallerBackend, q ListQuery) []Part {
	ctx, span := s.Telemetry.StartSpan(ctx, "fanout")
	defer span.End()
	parts := make([]Part, len(backends))
	var wg sync.WaitGroup
	for i, b := range backends {
		call := backend.Call{Op: adapters.OpList, Credential: b.Credential, NoCache: q.Fresh, OnlyIfCached: !q.Fresh}
		if call.OnlyIfCached {
			started := time.Now()
			result, err := b.Endpoint(ctx, call)
			if err != backend.ErrNotCached {
				parts[i] = partOf(b, result, err, time.Since(started))
				continue
			}
			call.OnlyIfCached = false
		}
		wg.Go(func() {
			started := time.Now()
			err := backend.RecoverPanic(ctx, b.Backend, adapters.OpList, s.Log, func() {
				result, err := b.Endpoint(ctx, call)
				parts[i] = partOf(b, result, err, time.Since(started))
			})
			if err != nil {
				parts[i] = partOf(b, backend.Result{}, err, time.Since(started))
			}
		})
	}
	wg.Wait()
	TraceParts(span, parts)
	return parts
}

func partOf(b auth.CallerBackend, result backend.Result, err error, took time.Duration) Part {
	p := Part{Backend: b, Cache: result.Cache, Took: took, Dependencies: result.Dependencies, Source: problem.Source{Backend: b.Name, Status: problem.SourceOK}}
	if err != nil {
		p.fail(problem.SourceError, adapters.OpList, err)
		return p
	}
	p.snapshot, p.listed, p.fetched = result.Snapshot, result.Fetched, result.Fetched
	switch {
	case result.Stale != nil:
		p.stale = true
		p.fail(problem.SourceStale, adapters.OpList, result.Stale)
	case p.snapshot.Partial != nil:
		p.fail(problem.SourcePartial, adapters.OpList, p.snapshot.Partial)
	}
	return p
}

// fail takes note of why the source is not ok. What was said first stands, but
// that some of it is missing goes before that it is old.
func (p *Part) fail(status string, op adapters.Operation, err error) {
	if p.Source.Status == problem.SourceOK || p.Source.Status == problem.SourceStale && status == problem.SourcePartial {
		p.failed(status, problem.FromBackend(p.Backend.Name, op, err))
	}
}

func (p *Part) failed(status string, failure *problem.Problem) {
	p.Source.Status, p.Failure = status, failure
	p.Source.Error = &problem.SourceFailure{Code: failure.Code}
	if failure.RetryAfter > 0 {
		s := problem.RetryAfterSeconds(failure.RetryAfter)
		p.Source.Error.RetryAfterS = &s
	}
}

// settle completes what is said of a source by what the page found in it.
func (s *Service) settle(p *Part, i int, page catalog.Page, q ListQuery) {
	found := page.Parts[i]
	p.Source.Count = found.Count
	if p.snapshot != nil {
		fetched := p.listed.UTC().Truncate(time.Second)
		p.Source.FetchedAt = &fetched
		unavailable, notLoaded := p.sets(i, page, q)
		p.Source.Unavailable, p.Source.NotLoaded = &unavailable, &notLoaded
		if found.Unfiltered != 0 {
			p.Source.Unfiltered = &found.Unfiltered
		}
	}
	if found.EarlierCode != "" && (p.Source.Status == problem.SourceOK || p.Source.Status == problem.SourceStale && found.Omitted) {
		failure := problem.New(problem.Code(found.EarlierCode), "backend %s could not be read in full on an earlier page", p.Backend.Name)
		failure.Backend = &p.Backend.Name
		p.failed(problem.SourcePartial, failure)
	}
	if p.Source.Unfiltered != nil && (p.Source.Status == problem.SourceOK || p.Source.Status == problem.SourceStale) {
		p.Source.Status = problem.SourcePartial
	}
	if p.Failure != nil { // not where only a caller's filter could not be applied
		s.Telemetry.CountIncompleteList(p.Backend.Name)
	}
}

// incomplete is the problem that a list is: of all its sources, of the only
// one asked for, or of one that the caller requires.
func incomplete(parts []Part, q ListQuery) *problem.Problem {
	allFailed := true
	var unfiltered []Part
	for _, p := range parts {
		allFailed = allFailed && p.Source.Status == problem.SourceError
		if p.Source.Status == problem.SourceOK || !q.RequireAll && !slices.Contains(q.Require, p.Backend.Name) {
			continue
		}
		if p.Failure != nil {
			return withSources(p.Failure, parts)
		}
		unfiltered = append(unfiltered, p)
	}
	switch {
	case len(parts) > 0 && allFailed:
		return withSources(parts[0].Failure, parts)
	case len(unfiltered) > 0:
		return withSources(cannotFilter(unfiltered, q), parts)
	}
	return nil
}

// cannotFilter is the problem that a filter is which the sources cannot have
// applied to them.
func cannotFilter(sources []Part, q ListQuery) *problem.Problem {
	var which []string
	loadable := false
	for _, p := range sources {
		which = append(which, fmt.Sprintf("%s (%s)", p.Backend.Name, strings.Join(p.Source.Unfiltered.Names(), ", ")))
		loadable = loadable || *p.Source.Unfiltered&p.snapshot.NotLoaded != 0
	}
	cure := "leave the filter or the requirement out"
	if loadable && !q.Full {
		cure += ", or ask for view=full, which reads more"
	}
	problem := problem.New(problem.CodeInvalidParameter, "not every agent of these shows what is filtered by: %s; %s", strings.Join(which, ", "), cure)
	problem.Backend = &sources[0].Backend.Name
	return problem
}

func withSources(p *problem.Problem, parts []Part) *problem.Problem {
	problem := *p
	for _, part := range parts {
		problem.Sources = append(problem.Sources, part.Source)
	}
	return &problem
}

// collapse leaves out the agents that an alias supersedes.
func (s *Service) collapse(caller *auth.Caller, parts []Part) {
	for i := range parts {
		p := &parts[i]
		if p.snapshot == nil {
			continue
		}
		for _, native := range s.Aliases.Superseded(caller, p.Backend.Name) {
			if row := p.snapshot.Find(native); row >= 0 {
				p.leaveOut(row)
			}
		}
	}
}

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
	Collapse   bool
	IncludeRaw bool
	Limit      int
	Cursor     string
	NoCache    bool
	// RequireAll and Require turn a list into a problem if any source, or one
	// of these, is not ok.
	RequireAll bool
	Require    []string
}

// Source is what became of one backend in a list.
type Source struct {
	Backend    auth.CallerBackend
	snapshot   *catalog.Snapshot
	details    map[int]*catalog.Detail // rows that were read in full, by index; nil if they could not be
	excluded   map[int]bool            // rows that are not there after all, by index
	stale      bool                    // the snapshot is an older one
	Report     problem.Source
	Failure    *problem.Problem // why the source is not ok; nil if only a filter could not be applied
	Cache      backend.CacheStatus
	Duration   time.Duration
	listedAt   time.Time // when the snapshot was read
	oldestRead time.Time // its oldest part
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
	walk, err := s.openCursor(caller, q, all)
	if err != nil {
		return nil, err
	}
	if resumed := walk.Backends(); resumed != nil {
		backends = slices.DeleteFunc(backends, func(b auth.CallerBackend) bool { return !slices.Contains(resumed, b.Name) })
	}
	parts := s.fanOut(ctx, backends, q)
	if q.Collapse {
		s.excludeSuperseded(caller, parts)
	}
	if q.Full {
		s.loadQueryDetails(ctx, parts, q)
	}
	found := catalog.Paginate(q.Query, walk, all, catalogSources(parts, q), q.Limit)
	for q.Full && s.loadPageDetails(ctx, parts, found, q) { // some of it is not there after all
		found = catalog.Paginate(q.Query, walk, all, catalogSources(parts, q), q.Limit)
	}
	for i := range parts {
		s.completeReport(&parts[i], i, found, q)
	}
	if p := requirementProblem(parts, q); p != nil {
		return nil, p
	}
	return s.answerList(parts, found, q, walk)
}

func catalogSources(parts []Source, q ListQuery) []catalog.Part {
	of := make([]catalog.Part, len(parts))
	for i, p := range parts {
		of[i] = catalog.Part{Backend: p.Backend.Name, Snapshot: p.snapshot, Stale: p.stale, Gone: p.excluded}
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
func (s *Service) fanOut(ctx context.Context, backends []auth.CallerBackend, q ListQuery) []Source {
	ctx, span := s.Telemetry.StartSpan(ctx, "fanout")
	defer span.End()
	parts := make([]Source, len(backends))
	var wg sync.WaitGroup
	for i, b := range backends {
		call := backend.Call{Op: adapters.OpList, Credential: b.Credential, NoCache: q.NoCache, OnlyIfCached: !q.NoCache}
		if call.OnlyIfCached {
			started := time.Now()
			result, err := b.Endpoint(ctx, call)
			if err != backend.ErrNotCached {
				parts[i] = newSource(b, result, err, time.Since(started))
				continue
			}
			call.OnlyIfCached = false
		}
		wg.Go(func() {
			started := time.Now()
			err := backend.RecoverPanic(ctx, b.Backend, adapters.OpList, s.Log, func() {
				result, err := b.Endpoint(ctx, call)
				parts[i] = newSource(b, result, err, time.Since(started))
			})
			if err != nil {
				parts[i] = newSource(b, backend.Result{}, err, time.Since(started))
			}
		})
	}
	wg.Wait()
	TraceSources(span, parts)
	return parts
}

func newSource(b auth.CallerBackend, result backend.Result, err error, took time.Duration) Source {
	p := Source{Backend: b, Cache: result.Cache, Duration: took, Dependencies: result.Dependencies, Report: problem.Source{Backend: b.Name, Status: problem.SourceOK}}
	if err != nil {
		p.markFailed(problem.SourceError, adapters.OpList, err)
		return p
	}
	p.snapshot, p.listedAt, p.oldestRead = result.Snapshot, result.Fetched, result.Fetched
	switch {
	case result.Stale != nil:
		p.stale = true
		p.markFailed(problem.SourceStale, adapters.OpList, result.Stale)
	case p.snapshot.Partial != nil:
		p.markFailed(problem.SourcePartial, adapters.OpList, p.snapshot.Partial)
	}
	return p
}

// markFailed takes note of why the source is not ok. What was said first stands, but
// that some of it is missing goes before that it is old.
func (p *Source) markFailed(status string, op adapters.Operation, err error) {
	if p.Report.Status == problem.SourceOK || p.Report.Status == problem.SourceStale && status == problem.SourcePartial {
		p.setFailure(status, problem.FromBackend(p.Backend.Name, op, err))
	}
}

func (p *Source) setFailure(status string, failure *problem.Problem) {
	p.Report.Status, p.Failure = status, failure
	p.Report.Error = &problem.SourceFailure{Code: failure.Code}
	if failure.RetryAfter > 0 {
		s := problem.RetryAfterSeconds(failure.RetryAfter)
		p.Report.Error.RetryAfterS = &s
	}
}

// completeReport completes what is said of a source by what the page found in it.
func (s *Service) completeReport(p *Source, i int, page catalog.Page, q ListQuery) {
	found := page.Parts[i]
	p.Report.Count = found.Count
	if p.snapshot != nil {
		fetched := p.listedAt.UTC().Truncate(time.Second)
		p.Report.FetchedAt = &fetched
		unavailable, notLoaded := p.commonFieldSets(i, page, q)
		p.Report.Unavailable, p.Report.NotLoaded = &unavailable, &notLoaded
		if found.Unfiltered != 0 {
			p.Report.Unfiltered = &found.Unfiltered
		}
	}
	if found.EarlierCode != "" && (p.Report.Status == problem.SourceOK || p.Report.Status == problem.SourceStale && found.Omitted) {
		failure := problem.New(problem.Code(found.EarlierCode), "backend %s could not be read in full on an earlier page", p.Backend.Name)
		failure.Backend = &p.Backend.Name
		p.setFailure(problem.SourcePartial, failure)
	}
	if p.Report.Unfiltered != nil && (p.Report.Status == problem.SourceOK || p.Report.Status == problem.SourceStale) {
		p.Report.Status = problem.SourcePartial
	}
	if p.Failure != nil { // not where only a caller's filter could not be applied
		s.Telemetry.CountIncompleteList(p.Backend.Name)
	}
}

// requirementProblem is the problem that a list is: of all its sources, of the only
// one asked for, or of one that the caller requires.
func requirementProblem(parts []Source, q ListQuery) *problem.Problem {
	allFailed := true
	var unfiltered []Source
	for _, p := range parts {
		allFailed = allFailed && p.Report.Status == problem.SourceError
		if p.Report.Status == problem.SourceOK || !q.RequireAll && !slices.Contains(q.Require, p.Backend.Name) {
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
		return withSources(unfilteredProblem(unfiltered, q), parts)
	}
	return nil
}

// unfilteredProblem is the problem that a filter is which the sources cannot have
// applied to them.
func unfilteredProblem(sources []Source, q ListQuery) *problem.Problem {
	var which []string
	loadable := false
	for _, p := range sources {
		which = append(which, fmt.Sprintf("%s (%s)", p.Backend.Name, strings.Join(p.Report.Unfiltered.Names(), ", ")))
		loadable = loadable || *p.Report.Unfiltered&p.snapshot.NotLoaded != 0
	}
	cure := "leave the filter or the requirement out"
	if loadable && !q.Full {
		cure += ", or ask for view=full, which reads more"
	}
	problem := problem.New(problem.CodeInvalidParameter, "not every agent of these shows what is filtered by: %s; %s", strings.Join(which, ", "), cure)
	problem.Backend = &sources[0].Backend.Name
	return problem
}

func withSources(p *problem.Problem, parts []Source) *problem.Problem {
	problem := *p
	for _, part := range parts {
		problem.Sources = append(problem.Sources, part.Report)
	}
	return &problem
}

// excludeSuperseded leaves out the agents that an alias supersedes.
func (s *Service) excludeSuperseded(caller *auth.Caller, parts []Source) {
	for i := range parts {
		p := &parts[i]
		if p.snapshot == nil {
			continue
		}
		for _, native := range s.Aliases.Superseded(caller, p.Backend.Name) {
			if row := p.snapshot.Find(native); row >= 0 {
				p.exclude(row)
			}
		}
	}
}

package agents

import (
	"context"
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

// ListQuery selects the agents of a list and how they are returned.
type ListQuery struct {
	Backends      []string // empty: all backends of the caller
	Providers     []string // empty: all providers
	catalog.Query          // filters, search text and order
	Full          bool     // view=full
	// Collapse leaves out agents that an alias supersedes.
	Collapse   bool
	IncludeRaw bool
	Limit      int
	Cursor     string // empty: the first page
	NoCache    bool
	// RequireAll makes the list fail if any source is not ok, Require if one of these
	// backends is not.
	RequireAll bool
	Require    []string
}

// List reads all selected backends concurrently and returns one page of their agents. A backend
// that fails is reported in its source and does not affect the others. List returns an error only
// if every backend failed or a required one is not ok.
func (s *Service) List(ctx context.Context, caller *auth.Caller, q ListQuery) (*Result, error) {
	backends, err := selectBackends(caller, q)
	if err != nil {
		return nil, err
	}
	names := auth.BackendNames(backends)
	cursor, err := s.openCursor(caller, q, names)
	if err != nil {
		return nil, err
	}
	if resumed := cursor.Backends(); resumed != nil {
		backends = slices.DeleteFunc(backends, func(b auth.CallerBackend) bool { return !slices.Contains(resumed, b.Name) })
	}
	sources := s.fanOut(ctx, backends, q)
	if q.Collapse {
		s.excludeSuperseded(caller, sources)
	}
	if q.Full {
		s.loadQueryDetails(ctx, sources, q)
	}
	page := catalog.Paginate(q.Query, cursor, names, catalogSources(sources, q), q.Limit)
	for q.Full && s.loadPageDetails(ctx, sources, page, q) {
		page = catalog.Paginate(q.Query, cursor, names, catalogSources(sources, q), q.Limit)
	}
	for i := range sources {
		s.completeReport(&sources[i], i, page, q)
	}
	if p := requirementProblem(sources, q); p != nil {
		return nil, p
	}
	return s.listResult(listPage{query: q, cursor: cursor, sources: sources, page: page})
}

// catalogSources returns the sources as the input of [catalog.Paginate].
func catalogSources(sources []Source, q ListQuery) []catalog.Part {
	parts := make([]catalog.Part, len(sources))
	for i, s := range sources {
		parts[i] = catalog.Part{Backend: s.Backend.Name, Snapshot: s.snapshot, Stale: s.stale, Gone: s.excluded}
		if q.Full {
			parts[i].Needed = q.Fields()
		}
		parts[i].Code = string(problem.CodeUpstreamError)
		if s.Failure != nil {
			parts[i].Code = string(s.Failure.Code)
		}
	}
	return parts
}

// selectBackends returns the backends that a list covers, in the order of the configuration.
func selectBackends(caller *auth.Caller, q ListQuery) ([]auth.CallerBackend, error) {
	for parameter, names := range map[string][]string{"backend": q.Backends, "require": q.Require} {
		for _, name := range names {
			if _, ok := caller.Backend(name); !ok {
				return nil, problem.InvalidParameter(parameter, "%s", auth.UnknownBackend(caller, name).Detail)
			}
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
		return nil, problem.InvalidParameter("provider", "no backend matches both backend=%s and provider=%s; leave one of them out", strings.Join(q.Backends, ","), strings.Join(q.Providers, ","))
	}
	for _, name := range q.Require {
		if !slices.Contains(auth.BackendNames(backends), name) {
			return nil, problem.InvalidParameter("require", "%s is left out by the backend or provider parameter; add it there, or remove it from require", name)
		}
	}
	return backends, nil
}

// fanOut lists all backends. Cached lists are taken without starting a goroutine; the other
// backends are called concurrently.
func (s *Service) fanOut(ctx context.Context, backends []auth.CallerBackend, q ListQuery) []Source {
	ctx, span := s.Telemetry.StartSpan(ctx, "fanout")
	defer span.End()
	sources := make([]Source, len(backends))
	var wg sync.WaitGroup
	for i, b := range backends {
		call := backend.Call{Op: adapters.OpList, Credential: b.Credential, NoCache: q.NoCache, OnlyIfCached: !q.NoCache}
		if call.OnlyIfCached {
			started := time.Now()
			result, err := b.Endpoint(ctx, call)
			if err != backend.ErrNotCached {
				sources[i] = newSource(b, result, err, time.Since(started))
				continue
			}
			call.OnlyIfCached = false
		}
		wg.Go(func() {
			started := time.Now()
			err := backend.RecoverPanic(ctx, b.Backend, adapters.OpList, s.Log, func() {
				result, err := b.Endpoint(ctx, call)
				sources[i] = newSource(b, result, err, time.Since(started))
			})
			if err != nil {
				sources[i] = newSource(b, backend.Result{}, err, time.Since(started))
			}
		})
	}
	wg.Wait()
	TraceSources(span, sources)
	return sources
}

// excludeSuperseded leaves out the agents that an alias supersedes.
func (s *Service) excludeSuperseded(caller *auth.Caller, sources []Source) {
	for i := range sources {
		source := &sources[i]
		if source.snapshot == nil {
			continue
		}
		for _, nativeID := range s.Aliases.Superseded(caller, source.Backend.Name) {
			if row := source.snapshot.Find(nativeID); row >= 0 {
				source.exclude(row)
			}
		}
	}
}

// completeReport adds to a source's report what the page determined: counts, field sets, and
// whether agents are missing. The index is that of the source on the page.
func (s *Service) completeReport(source *Source, index int, page catalog.Page, q ListQuery) {
	report, found := &source.Report, page.Parts[index]
	report.Count = found.Count
	if source.snapshot != nil {
		fetchedAt := source.listedAt.UTC().Truncate(time.Second)
		report.FetchedAt = &fetchedAt
		unavailable, notLoaded := source.commonFieldSets(index, page, q)
		report.Unavailable, report.NotLoaded = &unavailable, &notLoaded
		if found.Unfiltered != 0 {
			report.Unfiltered = &found.Unfiltered
		}
	}
	if found.EarlierCode != "" && (report.Status == problem.SourceOK || report.Status == problem.SourceStale && found.Omitted) {
		failure := problem.New(problem.Code(found.EarlierCode), "backend %s was incomplete on an earlier page", source.Backend.Name)
		failure.Backend = &source.Backend.Name
		source.setFailure(problem.SourcePartial, failure)
	}
	if source.Failure != nil {
		s.Telemetry.CountIncompleteList(source.Backend.Name)
	}
}

// requirementProblem returns the problem that the list fails with: all sources failed, or one
// that the caller requires is not ok. It returns nil if the page can be returned.
func requirementProblem(sources []Source, q ListQuery) *problem.Problem {
	allFailed := len(sources) > 0
	for _, s := range sources {
		allFailed = allFailed && s.Report.Status == problem.SourceError
		if s.Failure != nil && (q.RequireAll || slices.Contains(q.Require, s.Backend.Name)) {
			return withReports(s.Failure, sources)
		}
	}
	if allFailed {
		return withReports(sources[0].Failure, sources)
	}
	return nil
}

// withReports returns a copy of p with the reports of all sources.
func withReports(p *problem.Problem, sources []Source) *problem.Problem {
	clone := *p
	for _, s := range sources {
		clone.Sources = append(clone.Sources, s.Report)
	}
	return &clone
}

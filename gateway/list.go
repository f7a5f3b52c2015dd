package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// ListQuery is what is asked of a list.
type ListQuery struct {
	Backends  []string // none: all that the key maps to
	Providers []string // none: all
	Limit     int
	Cursor    string
	Raw       bool
	Fresh     bool
	// RequireAll and Require turn a list into a problem if any source, or one
	// of these, is not ok.
	RequireAll bool
	Require    []string

	walked []string // the backends that these come to, in their order
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
	Error       *SourceFailure      `json:"error,omitzero"`
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
	snapshot *Snapshot
	source   Source
	failure  *Problem
	cache    CacheStatus
	took     time.Duration
}

// list asks all backends at the same time and merges what they answer. A
// backend that fails is its source's error and costs the others nothing.
func (g *Gateway) list(ctx context.Context, caller *Caller, q ListQuery) (*response, error) {
	backends, err := chosen(caller, q)
	if err != nil {
		return nil, err
	}
	q.walked = names(backends)
	after, err := g.resume(caller, q)
	if err != nil {
		return nil, err
	}
	parts := g.fanOut(ctx, backends, q)
	if p := incomplete(parts, q); p != nil {
		return nil, p
	}
	return g.page(caller, parts, q, after)
}

// chosen are the backends that a list is of, in the order of the
// configuration.
func chosen(caller *Caller, q ListQuery) ([]CallerBackend, error) {
	for _, name := range slices.Concat(q.Backends, q.Require) {
		if _, ok := caller.Backend(name); !ok {
			return nil, unknownBackend(caller, name)
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

// fanOut asks every backend in a goroutine of its own.
func (g *Gateway) fanOut(ctx context.Context, backends []CallerBackend, q ListQuery) []part {
	ctx, span := g.telemetry.Tracer.Start(ctx, "fanout", trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()
	parts := make([]part, len(backends))
	done := make(chan int, len(backends))
	for i, b := range backends {
		go func() {
			defer func() { done <- i }()
			parts[i] = g.ask(ctx, b, q)
		}()
	}
	for range backends {
		<-done
	}
	return parts
}

// ask reads one backend's snapshot. The endpoint recovers from panics itself.
func (g *Gateway) ask(ctx context.Context, b CallerBackend, q ListQuery) part {
	started := time.Now()
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpList, Credential: b.Credential, Fresh: q.Fresh})
	p := part{backend: b, cache: result.Cache, took: time.Since(started), source: Source{Backend: b.Name, Status: SourceOK}}
	if err != nil {
		p.fail(SourceError, err)
	} else {
		p.snapshot = result.Snapshot
		fetched := p.snapshot.Fetched.UTC().Truncate(time.Second)
		p.source.FetchedAt = &fetched
		p.source.Count = len(p.snapshot.Agents)
		p.source.Unavailable, p.source.NotLoaded = &p.snapshot.Unavailable, &p.snapshot.NotLoaded
		switch {
		case result.Stale != nil:
			p.fail(SourceStale, result.Stale)
		case p.snapshot.Partial != nil:
			p.fail(SourcePartial, p.snapshot.Partial)
		}
	}
	if p.source.Status != SourceOK {
		g.telemetry.ListIncomplete(b.Name)
	}
	return p
}

func (p *part) fail(status string, err error) {
	p.source.Status = status
	p.failure = backendProblem(p.backend.Name, adapters.OpList, err)
	p.source.Error = &SourceFailure{Code: p.failure.Code}
	if p.failure.RetryAfter > 0 {
		s := retryAfterSeconds(p.failure.RetryAfter)
		p.source.Error.RetryAfterS = &s
	}
}

// incomplete is the problem that a list is: of all its sources, of the only
// one asked for, or of one that the caller requires.
func incomplete(parts []part, q ListQuery) *Problem {
	allFailed := true
	for _, p := range parts {
		required := q.RequireAll || slices.Contains(q.Require, p.backend.Name)
		if required && p.source.Status != SourceOK {
			return withSources(p.failure, parts)
		}
		allFailed = allFailed && p.source.Status == SourceError
	}
	if len(parts) > 0 && allFailed {
		return withSources(parts[0].failure, parts)
	}
	return nil
}

func withSources(p *Problem, parts []part) *Problem {
	problem := *p
	for _, part := range parts {
		problem.Sources = append(problem.Sources, part.source)
	}
	return &problem
}

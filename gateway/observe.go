package gateway

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/oklog/ulid/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// exchange is what is noted of one request and its answer.
type exchange struct {
	requestID string
	trace     trace.TraceID
	route     string
	keyID     string
	code      Code // of a problem
	sources   []journal.Source
	cache     CacheStatus      // how the answer came about; empty if no agent was read
	agent     *normalize.Agent // the one that it is about, if there is one
	entry     *journal.Entry
	// What is known when it has ended.
	method string // otherMethod for what HTTP does not define: a caller writes it
	status int
	ended  time.Time
	took   time.Duration
}

const exchangeLocal = "agentgw.exchange"

func exchangeOf(c *fiber.Ctx) *exchange {
	if x, ok := c.Locals(exchangeLocal).(*exchange); ok {
		return x
	}
	// What HTTP itself refused never came through observe.
	return newExchange(c)
}

var serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// newExchange keeps the caller's request id if it has the form of one.
func newExchange(c *fiber.Ctx) *exchange {
	x := &exchange{requestID: c.Get("X-Request-Id")}
	if x.requestID == "" || !requestID.MatchString(x.requestID) {
		x.requestID = ulid.Make().String()
	}
	return x
}

// observe gives the request its id, span, deadline, access line and metric,
// and turns every error into a problem.
func (s *Server) observe(c *fiber.Ctx) error {
	started := time.Now()
	x := newExchange(c)
	c.Locals(exchangeLocal, x)

	g := s.gateway
	ctx := context.Background()
	if parent := c.Get("traceparent"); parent != "" {
		ctx = telemetry.Extract(ctx, parent, c.Get("tracestate"))
	}
	ctx, span := g.telemetry.Tracer.Start(ctx, "HTTP", serverSpan...)
	defer span.End()
	x.trace = span.SpanContext().TraceID()
	ctx, x.entry = g.journal.Begin(ctx, x.requestID, started)
	ctx, cancel := context.WithTimeout(ctx, g.state.Load().config.File.Server.RequestTimeout.D())
	defer cancel()
	c.SetUserContext(ctx)

	if err := c.Next(); err != nil {
		if err := s.handleError(c, err); err != nil {
			return err
		}
	}
	c.Set("X-Request-Id", x.requestID)
	if s.leaving.Load() {
		c.Context().SetConnectionClose()
	}

	x.method, x.status, x.ended = knownMethod(c.Method()), c.Response().StatusCode(), time.Now()
	x.took = x.ended.Sub(started)
	if span.IsRecording() {
		span.SetName(x.spanName())
		span.SetAttributes(x.attributes(c)...)
		if x.status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
	s.note(ctx, c, x)
	return nil
}

// spanName is the method and the route, as the conventions have it.
func (x *exchange) spanName() string {
	name := x.method
	if name == otherMethod {
		name = "HTTP"
	}
	if x.route == "" {
		return name
	}
	return name + " " + x.route
}

// attributes are those of the request's span (semantic conventions for HTTP servers). The
// path is only said where it is one of ours, or an agent's: anything can stand in another.
func (x *exchange) attributes(c *fiber.Ctx) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", x.method),
		attribute.String("url.scheme", scheme(c)),
		attribute.Int("http.response.status_code", x.status),
	}
	add := func(name, value string) {
		if value != "" {
			attributes = append(attributes, attribute.String(name, value))
		}
	}
	if x.route != "" {
		add("http.route", x.route)
	}
	switch {
	case x.route != "" && !strings.Contains(x.route, "{"):
		add("url.path", x.route)
	case x.agent != nil:
		add("url.path", "/v1/agents/"+x.agent.ID)
	}
	add("agentgw.key.id", x.keyID)
	add("agentgw.cache", string(x.cache))
	if x.agent != nil {
		add("gen_ai.agent.id", x.agent.ID)
		if x.agent.Name != nil {
			add("gen_ai.agent.name", *x.agent.Name)
		}
	}
	if x.status >= 500 {
		add("error.type", string(x.code))
	}
	return attributes
}

// scheme is of the connection. Fiber would have it of a header, which a caller writes.
func scheme(c *fiber.Ctx) string {
	if c.Context().IsTLS() {
		return "https"
	}
	return "http"
}

// theirs reports whether an answer says that the caller asked for what cannot be: a 4xx, or
// what a backend does not have. That a backend's quota is spent is not their doing.
func theirs(status int, code Code) bool {
	return status >= 400 && status < 500 && code != CodeUpstreamRateLimited || status == fiber.StatusNotImplemented
}

// note measures an answered request, enters it in the journal and has its access line
// written.
func (s *Server) note(ctx context.Context, c *fiber.Ctx, x *exchange) {
	g := s.gateway
	served := telemetry.Served{Method: x.method, Scheme: scheme(c), Route: x.route, Status: x.status}
	if x.status >= 500 {
		served.Error = string(x.code)
	}
	g.telemetry.ServerRequest(ctx, served, x.took)
	g.journal.End(x.entry, x.ended, journal.Outcome{
		Trace: x.trace, Method: x.method, Route: x.route, Status: x.status, Code: string(x.code), KeyID: x.keyID, Sources: x.sources,
		Theirs: theirs(x.status, x.code),
	})
	telemetry.LogLater(ctx, g.log, slog.LevelInfo, x)
}

// Record is the access line.
func (x *exchange) Record() slog.Record {
	line := slog.NewRecord(x.ended, slog.LevelInfo, "request", 0)
	line.AddAttrs(
		slog.String("method", x.method), slog.String("route", x.route), slog.Int("status", x.status),
		slog.Float64("duration_ms", float64(x.took.Microseconds())/1000),
		slog.String("request_id", x.requestID), slog.String("key_id", x.keyID),
		slog.String("sources", describe(x.sources)), slog.String("code", string(x.code)),
	)
	return line
}

// sourcesOf are the backends' parts of an answer.
func sourcesOf(parts []part) []journal.Source {
	if len(parts) == 0 {
		return nil
	}
	sources := make([]journal.Source, len(parts))
	for i, p := range parts {
		s := journal.Source{Backend: p.backend.Name, Status: p.source.Status, Cache: string(p.cache)}
		if s.Status == "" { // of one agent
			s.Status = SourceOK
		}
		if p.failure != nil {
			s.Code, s.Breaker = string(p.failure.Code), p.backend.breaker.state()
		}
		sources[i] = s
	}
	return sources
}

// sourcesOfProblem are the same of a problem: those of a list, or the one backend that it
// is about.
func sourcesOfProblem(p *Problem) []journal.Source {
	if len(p.Sources) == 0 && p.Backend != nil {
		status := SourceError
		if theirs(p.Status, p.Code) {
			status = SourceOK
		}
		return []journal.Source{{Backend: *p.Backend, Status: status, Code: string(p.Code)}}
	}
	sources := make([]journal.Source, len(p.Sources))
	for i, s := range p.Sources {
		sources[i] = journal.Source{Backend: s.Backend, Status: s.Status}
		if s.Error != nil {
			sources[i].Code = string(s.Error.Code)
		}
	}
	return sources
}

// describe is "klen=hit talkifai=error".
func describe(sources []journal.Source) string {
	var b strings.Builder
	for i, s := range sources {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.Backend)
		b.WriteByte('=')
		if s.Cache != "" {
			b.WriteString(s.Cache)
		} else {
			b.WriteString(s.Status)
		}
	}
	return b.String()
}

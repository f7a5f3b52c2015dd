package gateway

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
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
)

// exchange is what is noted of one request and its answer.
type exchange struct {
	requestID string
	trace     trace.TraceID
	has       present
	recorded  bool      // by a span
	began     time.Time // of one that HTTP itself refused, when it was
	deadline  deadline
	route     string
	keyID     string
	code      Code // of a problem
	sources   []journal.Source
	cache     CacheStatus // how the answer came about; empty if no agent was read
	about     about
	entry     *journal.Entry
	// What is known when it has ended.
	method string // telemetry.OtherMethod for what HTTP does not define: a caller writes it
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
	x := &exchange{began: time.Now(), has: presentIn(&c.Request().Header)}
	if x.has.any(hasRequestID) {
		x.requestID = strings.Clone(c.Get("X-Request-Id"))
	}
	if x.requestID == "" || !requestID.MatchString(x.requestID) {
		x.requestID = newRequestID(x.began)
	}
	return x
}

// newRequestID is a ULID: the time, and 80 bits of chance, so that they can be sorted and
// none comes twice.
func newRequestID(now time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(now)) // it fails in the year 10889
	binary.BigEndian.PutUint16(id[6:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id.String()
}

// observe gives the request its id, span, deadline, access line and metric,
// and turns every error into a problem.
func (s *Server) observe(c *fiber.Ctx) error {
	x := newExchange(c)
	c.Locals(exchangeLocal, x)

	g := s.gateway
	ctx := context.Background()
	if x.has.any(hasTraceparent) {
		ctx = telemetry.Extract(ctx, strings.Clone(c.Get("traceparent")), strings.Clone(c.Get("tracestate")))
	}
	ctx, span := g.telemetry.Tracer.Start(ctx, "HTTP", serverSpan...)
	defer span.End()
	x.trace, x.recorded = span.SpanContext().TraceID(), span.IsRecording()
	ctx, x.entry = g.journal.Begin(ctx, x.requestID, x.began)
	x.deadline = deadline{Context: ctx, at: x.began.Add(g.requestTimeout())}
	defer x.deadline.end()
	c.SetUserContext(&x.deadline)

	if err := c.Next(); err != nil {
		if err := s.handleError(c, err); err != nil {
			return err
		}
	}
	c.Response().Header.SetCanonical(requestIDHeader, []byte(x.requestID))
	if s.leaving.Load() {
		c.Context().SetConnectionClose()
	}

	x.method, x.status, x.ended = telemetry.KnownMethod(c.Method()), c.Response().StatusCode(), time.Now()
	x.took = x.ended.Sub(x.began)
	if x.recorded {
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
	if name == telemetry.OtherMethod {
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
	case x.about.id != "":
		add("url.path", "/v1/agents/"+x.about.id)
	}
	add("agentgw.key.id", x.keyID)
	add("agentgw.cache", string(x.cache))
	add("gen_ai.agent.id", x.about.id)
	add("gen_ai.agent.name", x.about.name)
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

// Line is the access line.
func (x *exchange) Line(attrs []slog.Attr) (time.Time, string, []slog.Attr) {
	return x.ended, "request", append(attrs,
		slog.String("method", x.method), slog.String("route", x.route), slog.Int("status", x.status),
		slog.Float64("duration_ms", float64(x.took.Microseconds())/1000),
		slog.String("request_id", x.requestID), slog.String("key_id", x.keyID),
		slog.String("sources", describe(x.sources)), slog.String("code", string(x.code)),
	)
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

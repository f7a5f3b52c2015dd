package gateway

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// exchange is what is noted of one request and its answer.
type exchange struct {
	state     *state
	head      headHash
	known     *understood // what its head said before; nil if it has not come before
	has       present
	requestID string
	traced    trace.SpanContext
	span      trace.Span // nil if it is not recorded
	base      context.Context
	began     time.Time // of one that HTTP itself refused, when it was
	deadline  deadline
	failed    error // of a route
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

func exchangeOf(c *fasthttp.RequestCtx) (*exchange, bool) {
	x, ok := c.UserValue(exchangeLocal).(*exchange)
	return x, ok
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// newExchange keeps the caller's request id if it has the form of one.
func (s *Server) newExchange(c *fasthttp.RequestCtx) *exchange {
	x := &exchange{began: time.Now(), state: s.gateway.state.Load(), base: context.Background()}
	x.head = headOf(&c.Request.Header)
	if x.known = x.state.heads.find(x.head, x.began); x.known != nil {
		x.has = x.known.has
	} else {
		x.has = presentIn(&c.Request.Header)
	}
	if x.has.any(hasRequestID) {
		x.requestID = string(c.Request.Header.Peek("X-Request-Id"))
	}
	if x.requestID == "" || !requestID.MatchString(x.requestID) {
		x.requestID = newRequestID(x.began)
	}
	c.SetUserValue(exchangeLocal, x)
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

// context is that of the request: its span, its entry in the journal, and its deadline. It
// is made when somebody asks for it: nobody does for what is answered from memory.
func (x *exchange) context() context.Context {
	if x.deadline.Context == nil {
		ctx := x.base
		if x.span == nil && x.traced.IsValid() {
			ctx = trace.ContextWithSpanContext(ctx, x.traced)
		}
		x.deadline.Context = x.entry.In(ctx)
		x.deadline.at = x.began.Add(x.state.config.File.Server.RequestTimeout.D())
	}
	return &x.deadline
}

// observe gives a request its id, span, deadline, access line and metric, and turns every
// error into a problem.
func (s *Server) observe(next func(*fasthttp.RequestCtx, *exchange) error) fasthttp.RequestHandler {
	g := s.gateway
	return func(c *fasthttp.RequestCtx) {
		if telemetry.KnownMethod(string(c.Method())) == telemetry.OtherMethod {
			c.Request.Header.SetMethod(telemetry.OtherMethod) // Fiber knows it then
		}
		x := s.newExchange(c)
		if x.has.any(hasTraceparent) {
			header := &c.Request.Header
			x.base = telemetry.Extract(x.base, string(header.Peek("traceparent")), string(header.Peek("tracestate")))
		}
		x.base, x.span, x.traced = g.telemetry.ServerSpan(x.base, "HTTP")
		x.entry = g.journal.Begin(x.requestID, x.began)

		if err := next(c, x); err != nil {
			s.handleError(c, x, err)
		}
		c.Response.Header.SetCanonical(requestIDHeader, []byte(x.requestID))
		if s.leaving.Load() {
			c.SetConnectionClose()
		}
		if x.deadline.Context != nil {
			x.deadline.end()
		}

		x.method, x.status, x.ended = telemetry.KnownMethod(string(c.Method())), c.Response.StatusCode(), time.Now()
		x.took = x.ended.Sub(x.began)
		if x.span != nil {
			x.span.SetName(x.spanName())
			x.span.SetAttributes(x.attributes(c)...)
			if x.status >= 500 {
				x.span.SetStatus(codes.Error, "")
			}
			x.span.End()
		}
		s.note(c, x)
	}
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
func (x *exchange) attributes(c *fasthttp.RequestCtx) []attribute.KeyValue {
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

// scheme is of the connection: what a header says of it, a caller wrote.
func scheme(c *fasthttp.RequestCtx) string {
	if c.IsTLS() {
		return "https"
	}
	return "http"
}

// theirs reports whether an answer says that the caller asked for what cannot be: a 4xx, or
// what a backend does not have. That a backend's quota is spent is not their doing.
func theirs(status int, code Code) bool {
	return status >= 400 && status < 500 && code != CodeUpstreamRateLimited || status == fasthttp.StatusNotImplemented
}

// note measures an answered request, enters it in the journal and has its access line
// written.
func (s *Server) note(c *fasthttp.RequestCtx, x *exchange) {
	g := s.gateway
	served := telemetry.Served{Method: x.method, Scheme: scheme(c), Route: x.route, Status: x.status}
	if x.status >= 500 {
		served.Error = string(x.code)
	}
	g.telemetry.ServerRequest(x.traced, served, x.took)
	g.journal.End(x.entry, x.ended, journal.Outcome{
		Trace: x.traced.TraceID(), Method: x.method, Route: x.route, Status: x.status, Code: string(x.code), KeyID: x.keyID, Sources: x.sources,
		Theirs: theirs(x.status, x.code),
	})
	telemetry.LogLater(x.traced, g.log, slog.LevelInfo, x)
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

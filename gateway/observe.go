package gateway

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
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

// exchange is one request and its answer, while it is answered: a connection may use it again
// for the next one. What is kept of it is its record.
type exchange struct {
	state     *state
	head      headHash // zero: it is not worth keeping
	has       present
	form      form
	requestID string
	traced    trace.SpanContext
	span      trace.Span // nil if it is not recorded
	base      context.Context
	began     time.Time       // of one that HTTP itself refused, when it was
	own       *requestContext // nil: nobody has asked for the context
	request   request         // as a route's handler sees it, until it returns
	failed    error           // of a route
	route     string
	keyID     string
	code      Code // of a problem
	sources   []journal.Source
	limit     *keyLimit // that it was counted for; nil: none
	answered  bool      // there is an answer, other than what Fiber itself may have made
	answer    answer
	replays   bool        // it can be a replay
	cors      bool        // it has passed what answers CORS
	replay    *replay     // the answer as it was sent before; nil: it is made anew
	body      []byte      // of the replay
	cache     CacheStatus // how the answer came about; empty if no agent was read
	about     about
	record    *record
	entry     *journal.Entry // nil: nothing is kept
	served    *telemetry.Durations
	described string // the sources, for the access line; empty: they are not yet
	method    string // telemetry.OtherMethod for what HTTP does not define: a caller writes it
	secure    bool   // over TLS
	// What is known when it has ended.
	status int
	ended  time.Time
	took   time.Duration
}

const exchangeLocal = "agentgw.exchange"

func exchangeOf(c *fasthttp.RequestCtx) (*exchange, bool) {
	x, ok := c.UserValue(exchangeLocal).(*exchange)
	return x, ok
}

// isRequestID reports whether it has the form of one: up to 128 of A-Z, a-z, 0-9, ".", "_"
// and "-".
func isRequestID(id []byte) bool {
	for _, c := range id {
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 128
}

func (s *Server) newExchange(c *fasthttp.RequestCtx) *exchange {
	header := &c.Request.Header
	x := &exchange{
		began: time.Now(), state: s.gateway.state.Load(), base: context.Background(),
		method: telemetry.KnownMethod(string(c.Method())), secure: c.IsTLS(),
	}
	if f := frontOf(c.Conn()); f != nil {
		x.head = f.handed(header)
	}
	x.has = presentIn(header)
	x.form = formFor(header, x.has)
	var own ids
	if x.has.any(hasRequestID) {
		own.request = header.Peek("X-Request-Id")
	}
	if x.has.any(hasTraceparent) {
		own.traceparent, own.tracestate = header.Peek("traceparent"), header.Peek("tracestate")
	}
	x.identify(own)
	c.SetUserValue(exchangeLocal, x)
	return x
}

// identify keeps the caller's request id, if it has the form of one, and makes its span that
// of our parent.
func (x *exchange) identify(own ids) {
	if isRequestID(own.request) {
		x.requestID = string(own.request)
	} else {
		x.requestID = newRequestID(x.began)
	}
	if len(own.traceparent) > 0 {
		x.base = telemetry.Extract(x.base, string(own.traceparent), string(own.tracestate))
	}
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

// context is that of the request. It is made when somebody asks for it: nobody does for what
// is answered from memory.
func (x *exchange) context() context.Context {
	if x.own == nil {
		x.own = &requestContext{entry: x.entry, unrecorded: x.span == nil, traced: x.traced}
		x.own.Context, x.own.at = x.base, x.began.Add(x.state.config.File.Server.RequestTimeout.D())
	}
	return x.own
}

// observe gives a request its id, span, deadline, access line and metric, and turns every
// error into a problem.
func (s *Server) observe(next func(*fasthttp.RequestCtx, *exchange) error) fasthttp.RequestHandler {
	return func(c *fasthttp.RequestCtx) {
		x := s.newExchange(c)
		if x.method == telemetry.OtherMethod {
			c.Request.Header.SetMethod(telemetry.OtherMethod) // Fiber knows it then
		}
		s.start(x)
		if err := next(c, x); err != nil {
			s.refuse(x, err)
		}
		x.write(c)
		if s.leaving.Load() {
			c.SetConnectionClose()
		}
		x.status, x.ended = c.Response.StatusCode(), time.Now()
		s.end(x)
	}
}

// start gives a request its span, and its entry in the journal.
func (s *Server) start(x *exchange) {
	x.base, x.span, x.traced = s.gateway.telemetry.ServerSpan(x.base, "HTTP")
	s.enter(x, x.began)
}

// enter begins what is kept of a request that began then.
func (s *Server) enter(x *exchange, began time.Time) {
	x.record = &record{}
	x.entry = s.gateway.journal.Begin(&x.record.entry, x.requestID, began)
}

// end says how it ended.
func (s *Server) end(x *exchange) {
	if x.own != nil {
		x.own.end()
	}
	x.took = x.ended.Sub(x.began)
	if x.span != nil {
		x.span.SetName(x.spanName())
		x.span.SetAttributes(x.attributes()...)
		if x.status >= 500 {
			x.span.SetStatus(codes.Error, "")
		}
		x.span.End()
	}
	s.note(x)
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
func (x *exchange) attributes() []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", x.method),
		attribute.String("url.scheme", x.scheme()),
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
func (x *exchange) scheme() string {
	if x.secure {
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
func (s *Server) note(x *exchange) {
	g := s.gateway
	if x.served == nil {
		x.served = g.telemetry.Served(x.measured(x.status))
	}
	x.served.Record(x.traced, x.took)
	x.record.line = line{
		at: x.ended, took: x.took, requestID: x.requestID, described: x.described,
		Outcome: journal.Outcome{
			Trace: x.traced.TraceID(), Method: x.method, Route: x.route, Status: x.status, Code: string(x.code), KeyID: x.keyID, Sources: x.sources,
			Theirs: theirs(x.status, x.code),
		},
	}
	g.journal.End(x.entry, x.ended, &x.record.line.Outcome)
	telemetry.LogLater(x.traced, g.log, slog.LevelInfo, &x.record.line)
}

// measured is what the request's duration is measured by.
func (x *exchange) measured(status int) telemetry.Served {
	served := telemetry.Served{Method: x.method, Scheme: x.scheme(), Route: x.route, Status: status}
	if status >= 500 {
		served.Error = string(x.code)
	}
	return served
}

// record is what is kept of a request: by the journal, and until its line is written.
type record struct {
	entry journal.Entry
	line  line
}

// line is the access line. It is not changed after it was made.
type line struct {
	at        time.Time
	took      time.Duration
	requestID string
	described string // the sources; empty: they are not yet
	journal.Outcome
}

// Line is the line as the log takes it.
func (l *line) Line(attrs []slog.Attr) (time.Time, string, []slog.Attr) {
	described := l.described
	if described == "" {
		described = describe(l.Sources)
	}
	return l.at, "request", append(attrs,
		slog.String("method", l.Method), slog.String("route", l.Route), slog.Int("status", l.Status),
		slog.Float64("duration_ms", float64(l.took.Microseconds())/1000),
		slog.String("request_id", l.requestID), slog.String("key_id", l.KeyID),
		slog.String("sources", described), slog.String("code", l.Code),
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
	var room [256]byte
	text := room[:0]
	for i, s := range sources {
		if i > 0 {
			text = append(text, ' ')
		}
		text = append(append(text, s.Backend...), '=')
		if s.Cache != "" {
			text = append(text, s.Cache...)
		} else {
			text = append(text, s.Status...)
		}
	}
	return string(text)
}

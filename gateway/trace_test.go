package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// treeAttributes are the attributes that golden trees show, in this order.
var treeAttributes = []attribute.Key{
	"http.request.method", "http.route", "url.path", "url.full", "http.response.status_code", "http.request.resend_count", "error.type",
	"agentgw.key.id", "agentgw.cache", "agentgw.backend", "agentgw.source.status", "agentgw.breaker.state", "gen_ai.agent.id", "gen_ai.agent.name",
}

// urlWithoutHost captures the rest of a URL: the port changes with each run.
var urlWithoutHost = regexp.MustCompile(`^http://[0-9.:]+(/.*)`)

// formatAttributes returns the attributes as a line of a golden tree.
func formatAttributes(attributes []attribute.KeyValue) string {
	var words []string
	for _, key := range treeAttributes {
		for _, a := range attributes {
			if a.Key == key {
				words = append(words, fmt.Sprintf("%s=%s", key, urlWithoutHost.ReplaceAllString(a.Value.String(), "http://vendor$1")))
			}
		}
	}
	return strings.Join(words, " ")
}

// tree draws a trace: a line for each span and event, below its parent, ordered by name
// and time.
func tree(spans tracetest.SpanStubs, id trace.TraceID) string {
	var b strings.Builder
	var draw func(parent trace.SpanID, indent string)
	draw = func(parent trace.SpanID, indent string) {
		var children tracetest.SpanStubs
		for _, s := range spans {
			if s.SpanContext.TraceID() == id && s.Parent.SpanID() == parent {
				children = append(children, s)
			}
		}
		slices.SortFunc(children, func(x, y tracetest.SpanStub) int {
			if x.Name != y.Name {
				return strings.Compare(x.Name, y.Name)
			}
			return x.StartTime.Compare(y.StartTime)
		})
		for _, s := range children {
			fmt.Fprintf(&b, "%s%s %q %s: %s\n", indent, strings.ToUpper(s.SpanKind.String()), s.Name, s.Status.Code, formatAttributes(s.Attributes))
			for _, e := range s.Events {
				fmt.Fprintf(&b, "%s  - %s: %s\n", indent, e.Name, formatAttributes(e.Attributes))
			}
			draw(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	draw(trace.SpanID{}, "")
	return b.String()
}

// span waits for a span of that name and returns the last one.
func (b *bench) span(name string) tracetest.SpanStub {
	b.t.Helper()
	var found tracetest.SpanStub
	waittest.Until(b.t, "the span "+name, func() bool {
		for _, s := range b.spans.GetSpans() {
			if s.Name == name {
				found = s
			}
		}
		return found.Name != ""
	})
	return found
}

// The list has one backend that is a cache hit, one that is stale, one that is retried and one
// that fails.
func TestTrace_List(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h, stale_while_revalidate: 0s, stale_if_error: 2h}")
	// agenthuman's list is old at once.
	block := b.file[strings.Index(b.file, "  agenthuman:\n"):]
	block = block[:strings.Index(block, "stale_if_error")]
	b.reload(block, strings.Replace(block, "ttl: 1h", "ttl: 1ms", 1))
	b.get("/v1/agents").wants(t, 200, "")
	b.gateway.Purge("krosai", "")
	b.gateway.Purge("talkifai", "")
	b.vendors["agenthuman"].Control().Fail(sandbox.Fault{Status: 400})
	b.vendors["agenthuman"].Control().Heal()
	b.vendors["agenthuman"].Control().Fail(sandbox.Fault{Status: 503, Header: map[string]string{"Retry-After": "60"}})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500, Times: 1})
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Status: 200, Body: "<html>"})
	b.spans.Reset()
	time.Sleep(2 * time.Millisecond) // the ttl
	b.get("/v1/agents").wants(t, 200, "")
	got := tree(b.spans.GetSpans(), b.span("GET /v1/agents").SpanContext.TraceID())
	want := `SERVER "GET /v1/agents" Unset: http.request.method=GET http.route=/v1/agents url.path=/v1/agents http.response.status_code=200 agentgw.key.id=acme agentgw.cache=stale
  INTERNAL "fanout" Unset: 
    - source: agentgw.cache=hit agentgw.backend=klen agentgw.source.status=ok agentgw.breaker.state=closed
    - source: error.type=upstream_unavailable agentgw.cache=stale agentgw.backend=agenthuman agentgw.source.status=stale agentgw.breaker.state=closed
    - source: agentgw.cache=miss agentgw.backend=krosai agentgw.source.status=ok agentgw.breaker.state=closed
    - source: error.type=upstream_bad_response agentgw.backend=talkifai agentgw.source.status=error agentgw.breaker.state=closed
    CLIENT "agenthuman list_agents" Error: http.request.method=GET url.full=http://vendor/v1/agents http.response.status_code=503 error.type=unavailable agentgw.backend=agenthuman agentgw.breaker.state=closed
    CLIENT "krosai list_agents" Error: http.request.method=GET url.full=http://vendor/v1/agents http.response.status_code=500 error.type=upstream agentgw.backend=krosai agentgw.breaker.state=closed
    CLIENT "krosai list_agents" Unset: http.request.method=GET url.full=http://vendor/v1/agents http.response.status_code=200 http.request.resend_count=1 agentgw.backend=krosai agentgw.breaker.state=closed
    CLIENT "talkifai list_agents" Error: http.request.method=GET url.full=http://vendor/v1/agents http.response.status_code=200 error.type=bad_response agentgw.backend=talkifai agentgw.breaker.state=closed
`
	if got != want {
		t.Errorf("the trace is\n%s, want\n%s", got, want)
	}
}

// A request that shares a fetch is linked to its span, and a refresh to the request that caused
// it.
func TestTrace_LinksOfSharedFetchAndRefresh(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1ms, stale_while_revalidate: 1h}")
	control := b.vendors["krosai"].Control()
	control.Fail(sandbox.Fault{Delay: time.Second, Times: 1})
	const path = "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890"
	meanwhile(t, func() { b.get(path) })
	waittest.Until(t, "the first request to arrive", func() bool { return b.requests("krosai") == 1 })
	b.get(path).wants(t, 200, "")
	shared := b.span("krosai get_agent").SpanContext
	linked := false
	for _, s := range b.spans.GetSpans() {
		for _, l := range s.Links {
			linked = linked || s.SpanKind == trace.SpanKindServer && l.SpanContext.SpanID() == shared.SpanID()
		}
	}
	if !linked {
		t.Error("no span is linked to the shared request")
	}
	time.Sleep(2 * time.Millisecond) // the ttl
	b.spans.Reset()
	b.get(path).wants(t, 200, "")
	cause, refresh := b.span("GET /v1/agents/{id}").SpanContext, b.span("refresh")
	if len(refresh.Links) != 1 || refresh.Links[0].SpanContext.SpanID() != cause.SpanID() || refresh.SpanContext.TraceID() == cause.TraceID() {
		t.Errorf("the refresh is linked to %v, not to %v", refresh.Links, cause)
	}
	if again := b.span("krosai get_agent"); again.Parent.SpanID() != refresh.SpanContext.SpanID() {
		t.Error("the refresh's request is not below it")
	}
}

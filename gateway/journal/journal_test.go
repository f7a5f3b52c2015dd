package journal

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// clock is a fake clock.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)} }

// request records a request with its duration, outcome and calls.
func request(j *RequestLog, c *clock, id string, took time.Duration, o Outcome, calls ...Call) {
	ctx, e := j.Start(context.Background(), id, c.at)
	for _, call := range calls {
		call.Began = c.at
		j.AddCall(ctx, call)
	}
	c.forward(took)
	j.End(e, c.at, &o)
}

func last[T any](column []T) T { return column[len(column)-1] }

func TestView_Counters(t *testing.T) {
	c := newClock()
	j := New(c.now)
	request(j, c, "complete", time.Millisecond, Outcome{Status: 200, Sources: []Source{{Backend: "klen", Status: "ok"}}}, Call{Backend: "klen", Took: 20 * time.Millisecond, Status: 200})
	request(j, c, "incomplete", time.Millisecond, Outcome{Status: 200, Sources: []Source{{Backend: "klen", Status: "error", Code: "upstream_timeout"}}}, Call{Backend: "klen", Error: "timeout", Failed: true}, Call{Backend: "klen", Error: "timeout", Failed: true, Resend: 1})
	request(j, c, "client error", time.Millisecond, Outcome{Status: 404, ClientError: true, Sources: []Source{{Backend: "klen", Status: "error", Code: "agent_not_found"}}})
	request(j, c, "failed", time.Millisecond, Outcome{Status: 502, Sources: []Source{{Backend: "klen", Status: "error", Code: "upstream_error"}}})
	request(j, c, "rate limited", time.Millisecond, Outcome{Status: 429, Sources: []Source{{Backend: "klen", Status: "error", Code: "upstream_rate_limited"}}})
	request(j, c, "shared", time.Millisecond, Outcome{Status: 200}, Call{Backend: "klen", Shared: "complete"})
	for _, result := range []string{"hit", "stale", "miss", "coalesced"} {
		request(j, c, result, time.Millisecond, Outcome{Status: 200, Sources: []Source{{Backend: "klen", Status: "ok", Cache: result}}})
	}
	v := j.View(0, 0, Steps)
	if int64(len(v.Gateway.Answers)) != Steps || v.Start+int64(v.StepS)*(Steps-1) != c.at.Unix()/5*5 {
		t.Errorf("%d steps from %d", len(v.Gateway.Answers), v.Start)
	}
	got := fmt.Sprint(last(v.Gateway.Answers), last(v.Gateway.IncompleteAnswers), last(v.Gateway.CallerErrors), last(v.Gateway.FailedAnswers), last(v.Gateway.Reads), last(v.Gateway.FromCache))
	if got != "6 1 1 2 4 1" {
		t.Errorf("the gateway's counts are %s", got)
	}
	klen := v.Backends["klen"]
	if got := fmt.Sprint(last(klen.Calls), last(klen.Failures), last(klen.Retries), last(klen.Reads)); got != "3 2 1 4" {
		t.Errorf("the backend's counts are %s", got)
	}
	if got := fmt.Sprint(v.Incomplete); got != "[{{klen error upstream_error} 1} {{klen error upstream_rate_limited} 1} {{klen error upstream_timeout} 1}]" {
		t.Errorf("incomplete: %s", got)
	}
	if p95 := last(klen.P95); p95 == nil || *p95 < 17 || *p95 > 23 {
		t.Errorf("p95 of 20 ms and two of nothing: %v", p95)
	}
	if klen.P95[0] != nil {
		t.Error("there is a latency without a call")
	}

	c.forward(Span)
	if v := j.View(0, 0, Steps); last(v.Gateway.Answers) != 0 || len(v.Incomplete) != 0 {
		t.Errorf("after %s there is still %v", Span, v.Incomplete)
	}
	j.RetainBackends([]string{"talkifai"})
	if v := j.View(0, 0, Steps); len(v.Backends) != 0 {
		t.Error("a removed backend is still listed")
	}
}

func TestHistogram_Quantiles(t *testing.T) {
	var l histogram
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.95: 950, 0.99: 990} {
		if got, _ := l.quantile(q); math.Abs(got/want-1) > 0.13 {
			t.Errorf("the %g quantile of 1 to 1000 ms is %g ms", q, got)
		}
	}
	l.add(0)
	l.add(time.Hour) // must not be out of range
}

// TestView_FailedRequestsAreNotEvicted: many cache hits do not evict the requests that
// failed or made calls.
func TestView_FailedRequestsAreNotEvicted(t *testing.T) {
	c := newClock()
	j := New(c.now)
	request(j, c, "failed", 0, Outcome{Status: 502})
	request(j, c, "called", 0, Outcome{Status: 200}, Call{Backend: "klen"})
	for i := range 1000 {
		request(j, c, fmt.Sprint("hit", i), 0, Outcome{Status: 200})
	}
	v := j.View(0, 0, Steps)
	var ids []string
	for _, r := range v.Requests {
		ids = append(ids, r.RequestID)
	}
	all := strings.Join(ids, " ")
	if len(ids) != maxRecent+2 || ids[0] != "hit999" || !strings.HasSuffix(all, "hit900 called failed") {
		t.Errorf("kept are %d: %s", len(ids), all)
	}
	request(j, c, "new", 0, Outcome{Status: 200})
	j.AddEvent(Event{Kind: "breaker", Backend: "klen", To: "open"})
	news := j.View(v.Entry, v.Event, 2)
	if again := j.View(news.Entry, news.Event, 2); len(again.Requests)+len(again.Events) != 0 {
		t.Errorf("the same is new again: %v", again.Requests)
	}
	if len(news.Requests) != 1 || news.Requests[0].RequestID != "new" || len(news.Events) != 1 || len(news.Gateway.Answers) != 2 {
		t.Errorf("new are %v, %v", news.Requests, news.Events)
	}
}

// TestRefresh_IsNotCountedAsRequest: a refresh is listed with its cause, and does not count
// as a response.
func TestRefresh_IsNotCountedAsRequest(t *testing.T) {
	c := newClock()
	j := New(c.now)
	ctx, e := j.Start(context.Background(), "cause", c.at)
	refreshing, refresh := j.Refresh(ctx)
	j.End(e, c.at, &Outcome{Status: 200})
	j.AddCall(refreshing, Call{Backend: "klen", Began: c.at})
	j.End(refresh, c.at, &Outcome{Sources: []Source{{Backend: "klen", Status: "error", Code: "upstream_error"}}})
	if RequestID(refreshing) != "cause" {
		t.Errorf("the request id of a shared call is %q", RequestID(refreshing))
	}
	v := j.View(0, 0, Steps)
	if r := v.Requests[0]; r.Cause != "cause" || r.RequestID != "" || len(r.Calls) != 1 {
		t.Errorf("%+v", r)
	}
	if last(v.Gateway.Answers) != 1 || len(v.Incomplete) != 0 {
		t.Error("the refresh counts as a response")
	}
	if _, err := json.Marshal(v); err != nil {
		t.Error(err)
	}
}

// TestAddCall_AfterEnd: a call that ends after its request makes View return the request
// again. The number of calls is bounded.
func TestAddCall_AfterEnd(t *testing.T) {
	c := newClock()
	j := New(c.now)
	ctx, e := j.Start(context.Background(), "early", c.at)
	j.End(e, c.at, &Outcome{Status: 504})
	v := j.View(0, 0, Steps)
	for range maxCalls + 5 {
		j.AddCall(ctx, Call{Backend: "klen", Began: c.at})
	}
	news := j.View(v.Entry, v.Event, 2)
	if len(news.Requests) != 1 || news.Requests[0].Number != v.Requests[0].Number || len(news.Requests[0].Calls) != maxCalls || news.Requests[0].More != 5 {
		t.Errorf("new are %+v", news.Requests)
	}
}

func TestRequestLog_Nil(t *testing.T) {
	var j *RequestLog
	ctx, e := j.Start(context.Background(), "id", time.Now())
	ctx, _ = j.Refresh(ctx)
	j.AddCall(ctx, Call{Backend: "klen"})
	j.AddEvent(Event{})
	j.End(e, time.Now(), &Outcome{Status: 200})
	j.RetainBackends(nil)
	if v := j.View(0, 0, Steps); len(v.Requests) != 0 {
		t.Error("it recorded something")
	}
}

// BenchmarkHit measures recording a request that was a cache hit.
func BenchmarkHit(b *testing.B) {
	j := New(time.Now)
	outcome := Outcome{Status: 200, Sources: []Source{{Backend: "klen", Status: "ok", Cache: "hit"}}}
	b.ReportAllocs()
	for b.Loop() {
		_, e := j.Start(context.Background(), "id", time.Now())
		j.End(e, time.Now(), &outcome)
	}
}

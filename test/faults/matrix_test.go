package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
	"github.com/agentgw/agentgw/test/locked"
)

func TestMain(m *testing.M) { live.Main(m) }

// atOnce is how many cells run at a time; most of them wait for a timeout.
const atOnce = 16

// starting holds the cells that start, of which there are few at a time: that is work, and
// would keep the others from being answered within the timeouts they wait for.
var starting = make(chan struct{}, 2)

// TestMatrix runs every fault with every operation in every state of the cache.
func TestMatrix(t *testing.T) {
	lateness := live.WatchLateness(t)
	var group errgroup.Group
	group.SetLimit(atOnce)
	cells := 0
	for _, f := range Faults() {
		for _, op := range Operations {
			for _, state := range States {
				cells++
				group.Go(func() error {
					t.Run(fmt.Sprintf("%s/%s/%s", f.Name, op, state), func(t *testing.T) { runCell(t, f, op, state, lateness) })
					return nil
				})
			}
		}
	}
	_ = group.Wait() // it has no errors
	t.Logf("%d cells", cells)
}

// runCell brings the cache into its state, injects the fault, asks once, and holds
// the answer and everything that was to happen against the table.
func runCell(t *testing.T, f Fault, op Operation, state Cached, lateness *live.Lateness) {
	logged := &locked.Buffer{}
	l := ready(t, f, state, logged)
	f.Inject(l)
	before := look(l)
	want := f.Cell(op, state)
	got := ask(t, l, op)
	after := look(l)

	checkAnswer(t, op, want, got)
	// Each request to the vendor has its timeout, and a retry its delay.
	lateness.Check(t, got.Took, time.Duration(want.Requests)*f.timeout()+retryDelay)
	checkCounts(t, f, op, want, before, after)
	checkBreaker(t, l, f, op, want)
	checkKept(t, l, f, op, state)
	for _, secret := range append([]string{"canary text"}, l.Secrets...) {
		if strings.Contains(got.Text, secret) || strings.Contains(logged.String(), secret) || strings.Contains(l.Metrics(), secret) {
			t.Errorf("%.12s… leaks", secret)
		}
	}
}

// ready starts a gateway with the cache in its state.
func ready(t *testing.T, f Fault, state Cached, logged *locked.Buffer) *live.Live {
	starting <- struct{}{}
	defer func() { <-starting }()
	l := start(t, f, state, logged)
	if state == Cold {
		return l
	}
	// On a busy machine the timeout of a cell that waits for it may be over before
	// the fault is there: the breaker is then not as it is to be, so another begins.
	for attempt := 1; ; attempt++ {
		failed := keep(t, l)
		if failed == "" {
			break
		}
		if attempt == 5 {
			t.Fatalf("before the fault: %s", failed)
		}
		l = start(t, f, state, logged)
	}
	if state == Old {
		time.Sleep(2 * ttlOld) // until the ttl is over there is nothing to see
	}
	return l
}

// keep has the gateway remember what the cells ask for, and says what went wrong.
func keep(t *testing.T, l *live.Live) (failed string) {
	for _, warm := range []Operation{Read, List} {
		if r := ask(t, l, warm); r.Status != 200 || warm == List && r.Source(vendor)["status"] != "ok" {
			return fmt.Sprintf("%d %s", r.Status, r.Text)
		}
	}
	if l.Sum("agentgw_cache_entries") == 0 {
		return "nothing was kept"
	}
	return ""
}

// retryDelay is the longest.
const retryDelay = 120 * time.Millisecond

// TestDeadline: whatever the vendor does, and however long it may take for it, the
// answer comes when the request's own time is over.
func TestDeadline(t *testing.T) {
	const requestTimeout = 500 * time.Millisecond
	lateness := live.WatchLateness(t)
	var group errgroup.Group
	group.SetLimit(atOnce / 4) // it is time that is measured
	for _, f := range Faults() {
		if f.Timeout > 0 {
			continue // it has the vendor wait for as long
		}
		f.Timeout = time.Minute
		for _, op := range Operations {
			group.Go(func() error {
				t.Run(fmt.Sprintf("%s/%s", f.Name, op), func(t *testing.T) {
					l := start(t, f, Cold, &locked.Buffer{})
					if err := l.Reload(fmt.Sprintf("request_timeout: %s", matrixTimeout), fmt.Sprintf("request_timeout: %s", requestTimeout)); err != nil {
						t.Fatal(err)
					}
					f.Inject(l)
					got := ask(t, l, op)
					lateness.Check(t, got.Took, requestTimeout)
					if got.Status >= 500 && got.Code() == "internal" {
						t.Errorf("%d %s", got.Status, got.Text)
					}
				})
				return nil
			})
		}
	}
	_ = group.Wait() // it has no errors
}

// ttlOld is how soon what is read is stale, where it is to be.
const ttlOld = 5 * time.Millisecond

func start(t *testing.T, f Fault, state Cached, logged *locked.Buffer) *live.Live {
	cache := "{ttl: 1h, stale_while_revalidate: 0s, stale_if_error: 1h}"
	if state == Old {
		cache = fmt.Sprintf("{ttl: %s, stale_while_revalidate: 0s, stale_if_error: 1h}", ttlOld)
	}
	return live.Start(t, live.Options{
		Server:   fmt.Sprintf("request_timeout: %s", matrixTimeout),
		Backends: []string{"klen", vendor},
		PerBackend: fmt.Sprintf("timeout: %s\nmax_response_bytes: %dB\nmax_concurrent: %d\nbreaker: {consecutive: %d, min_requests: 1000, open_for: 1h}\ncache: %s",
			f.timeout(), maxBytes, maxConcurrent, consecutive, cache),
		Proxied: []string{vendor}, OneRequest: true, TLS: f.TLS, Log: logged,
	})
}

func ask(t *testing.T, l *live.Live, op Operation) live.Reply {
	t.Helper()
	method, path, body := "GET", agent, ""
	switch op {
	case List:
		path = "/v1/agents"
	case Write:
		method, body = "PATCH", `{"name": "New Name"}`
	}
	r, err := l.Ask(context.Background(), "acme", method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checkAnswer(t *testing.T, op Operation, want Cell, got live.Reply) {
	t.Helper()
	code := got.Code()
	if op == List {
		source := got.Source(vendor)
		if failure, ok := source["error"].(map[string]any); ok {
			code = failure["code"].(string)
		}
		if source["status"] != want.Source || got.Source("klen")["status"] != "ok" || got.Body["complete"] != (want.Source == "ok") {
			t.Errorf("source %v, want %s; complete %v", source, want.Source, got.Body["complete"])
		}
	}
	if got.Status != want.Status || code != want.Code {
		t.Errorf("%d %q, want %d %q: %s", got.Status, code, want.Status, want.Code, got.Text)
	}
	if got.Status >= 400 && got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an error as %s", got.Header.Get("Content-Type"))
	}
	if (got.Status == 429 || got.Status == 503) && got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	said := got.Header.Get("Cache-Status")
	for word, is := range map[string]string{"hit": "agentgw; hit", "stale": "agentgw; fwd=stale"} {
		if (want.Cache == word) != (said == is) {
			t.Errorf("Cache-Status %q, want %q", said, want.Cache)
		}
	}
}

// counts is what is counted of the vendor.
type counts struct {
	received                                        int // by the vendor
	sent, retries, hits, stale, incomplete, failing int
}

func look(l *live.Live) counts {
	backend := fmt.Sprintf("backend=%q", vendor)
	return counts{
		received:   len(l.Vendors[vendor].Control().Requests()),
		sent:       l.Sum("http_client_request_duration_seconds_count", backend),
		failing:    l.Sum("http_client_request_duration_seconds_count", backend, "error_type="),
		retries:    l.Sum("agentgw_upstream_retries_total", backend),
		hits:       l.Sum("agentgw_cache_requests_total", backend, `result="hit"`),
		stale:      l.Sum("agentgw_cache_requests_total", backend, `result="stale"`),
		incomplete: l.Sum("agentgw_list_incomplete_total", backend),
	}
}

func (c counts) minus(b counts) counts {
	return counts{c.received - b.received, c.sent - b.sent, c.retries - b.retries, c.hits - b.hits, c.stale - b.stale, c.incomplete - b.incomplete, c.failing - b.failing}
}

func checkCounts(t *testing.T, f Fault, op Operation, cell Cell, before, after counts) {
	t.Helper()
	got := after.minus(before)
	want := counts{received: cell.Requests, sent: cell.Requests, failing: cell.Requests}
	if f.Unseen {
		want.received = 0
	}
	if op == Write && cell.Status == 200 {
		want.failing-- // the write itself
	}
	if op != Write {
		want.retries = max(0, cell.Requests-1)
	}
	switch cell.Cache {
	case "hit":
		want.hits = 1
	case "stale":
		want.stale = 1
	}
	if op == List && cell.Source != "ok" {
		want.incomplete = 1
	}
	if got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// checkBreaker asks until as many requests were sent as open the breaker, if they
// count.
func checkBreaker(t *testing.T, l *live.Live, f Fault, op Operation, cell Cell) {
	t.Helper()
	verdict := f.Verdict(op)
	for sent := cell.Requests; sent > 0 && sent < consecutive; sent += cell.Requests {
		ask(t, l, op)
	}
	want := "closed"
	if verdict == Counts && cell.Requests > 0 || f.Name == "breaker open" {
		want = "open"
	}
	r, err := l.Ask(context.Background(), "acme", "GET", "/v1/backends/"+vendor, "")
	if err != nil {
		t.Fatal(err)
	}
	if breaker := r.Body["breaker"].(map[string]any); breaker["state"] != want {
		t.Errorf("the breaker is %v, want %s", breaker["state"], want)
	}
	if l.Sum("agentgw_breaker_state", fmt.Sprintf("backend=%q", vendor), fmt.Sprintf("state=%q", want)) != 1 {
		t.Errorf("the metric does not say that it is %s", want)
	}
}

// checkKept asks once more while the vendor is unavailable: what was known is
// served, as it is or as stale, or it is not there any more.
func checkKept(t *testing.T, l *live.Live, f Fault, op Operation, state Cached) {
	t.Helper()
	if state == Cold || op != Write && state == Fresh {
		return
	}
	kept := f.Stale != StaleNever
	if op == Write {
		kept = f.Kept
	}
	control := l.Vendors[vendor].Control()
	control.Heal()
	control.Fail(sandbox.Fault{Status: 503})
	if op == Write {
		op = Read
	}
	r := ask(t, l, op)
	served := r.Status == 200
	if op == List {
		served = r.Source(vendor)["status"] == "stale"
	}
	if served != kept {
		t.Errorf("afterwards %d %s, kept: want %v", r.Status, r.Code(), kept)
	}
}

// TestNeutralIsNotFine: a neutral outcome between two failures does not part
// them; one that says that the backend is well does.
func TestNeutralIsNotFine(t *testing.T) {
	for _, f := range Faults() {
		if f.Breaker == Counts || f.Breaker == Unasked || f.Name == "429" { // after a 429 nothing is sent
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			l := start(t, f, Cold, &locked.Buffer{})
			control := l.Vendors[vendor].Control()
			fail := func() {
				control.Heal()
				control.Fail(sandbox.Fault{Status: 500})
				ask(t, l, Write) // it is not sent twice
				control.Heal()
			}
			fail()
			f.Inject(l)
			ask(t, l, Read)
			fail()
			r, err := l.Ask(context.Background(), "acme", "GET", "/v1/backends/"+vendor, "")
			if err != nil {
				t.Fatal(err)
			}
			if opened := r.Body["breaker"].(map[string]any)["state"] == "open"; opened != (f.Breaker == Neutral) {
				t.Errorf("%s: opened %v", f.Breaker, opened)
			}
		})
	}
}

// TestOnlyTheConfiguredHostIsCalled: whatever a redirect says.
func TestOnlyTheConfiguredHostIsCalled(t *testing.T) {
	l := start(t, Fault{}, Cold, &locked.Buffer{})
	klen := len(l.Vendors["klen"].Control().Requests())
	host := "http://" + strings.TrimPrefix(strings.SplitAfter(l.File(), "base_url: http://")[1], "http://")
	answers(307, "Location", strings.SplitN(host, "\n", 2)[0]+"/agents")(l)
	for _, op := range Operations {
		if r := ask(t, l, op); op != List && r.Code() != "upstream_bad_response" {
			t.Errorf("%s: %d %s", op, r.Status, r.Code())
		}
	}
	if got := len(l.Vendors["klen"].Control().Requests()); got > klen+1 { // the list's own
		t.Errorf("the redirect was followed: %d requests", got-klen)
	}
}

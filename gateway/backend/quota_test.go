package backend

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// quotaChain returns quotas and a function that sends a request through them to a provider.
// The provider's kind is the failure of its response; without headers it does not respond.
func quotaChain(rate *config.Rate, provider func() (normalize.Kind, http.Header)) (*quotas, func(ctx context.Context) error) {
	q := newQuotas()
	b := &Backend{Name: "b", Info: &adapters.Info{Provider: "p"}, tenants: newTenants(), bulkhead: newBulkhead("p", 1), quotas: q}
	q.setRate(rate)
	roundTrip := q.middleware(b)(func(_ context.Context, req *adapters.Request) error {
		kind, header := provider()
		if header == nil {
			return &normalize.Error{Kind: kind} // no response
		}
		return req.Receive(adapters.Response{Status: 200, Header: header})
	})
	cred := adapters.NewCredential(secret.New("c"))
	return q, func(ctx context.Context) error {
		return roundTrip(ctx, &adapters.Request{Op: adapters.OpList, Credential: cred, Decode: func(r adapters.Response) error {
			if kind, _ := provider(); kind != success {
				return &normalize.Error{Kind: kind, Status: 429}
			}
			return nil
		}})
	}
}

const success = normalize.KindUnsupported // stands for no failure: no response is one

func per(requests int, window time.Duration) *config.Rate {
	return &config.Rate{Requests: requests, Per: config.Duration(window)}
}

func rateLimitHeaders(remaining, resetSeconds int) http.Header {
	return http.Header{"X-Ratelimit-Limit": {"60"}, "X-Ratelimit-Remaining": {fmt.Sprint(remaining)}, "X-Ratelimit-Reset": {fmt.Sprint(resetSeconds)}}
}

// The remaining requests that the provider reports are a limit until its window ends, with
// and without a configured quota.
func TestQuota_RateLimitHeadersLimitRequests(t *testing.T) {
	for _, rate := range []*config.Rate{nil, per(60, time.Minute)} {
		synctest.Test(t, func(t *testing.T) {
			header := rateLimitHeaders(2, 30)
			_, send := quotaChain(rate, func() (normalize.Kind, http.Header) { return success, header })
			if err := send(context.Background()); err != nil {
				t.Fatal(err)
			}
			header = http.Header{}
			for range 2 {
				if err := send(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			err := send(context.Background())
			failure, ok := err.(*normalize.Error)
			if !ok || failure.Kind != normalize.KindRateLimited || failure.RetryAfter != 30*time.Second {
				t.Fatalf("%v", err)
			}
			time.Sleep(30 * time.Second)
			if err := send(context.Background()); err != nil {
				t.Errorf("in the next window: %v", err)
			}
		})
	}
}

// A report includes all requests that were answered before it; running ones are subtracted,
// because it may include none of them.
func TestQuota_ReportsOfConcurrentRequests(t *testing.T) {
	q := newQuotas()
	now := time.Now()
	limit := func(remaining int) adapters.RateLimit {
		return adapters.RateLimit{Known: true, Limit: 60, Remaining: remaining, Reset: time.Minute}
	}
	take := func() uint64 {
		t.Helper()
		number, wait := q.acquire(q.forCredential("c"), now, false)
		if wait > 0 {
			t.Fatalf("refused for %s", wait)
		}
		return number
	}
	left := func(want int) {
		t.Helper()
		if got, _, known := q.remaining(q.byCredential["c"], now); !known || got != want {
			t.Errorf("%d left, want %d", got, want)
		}
	}
	report := func(number uint64, remaining int) {
		q.release(q.byCredential["c"], number, requestOutcome{sent: true, rateLimit: limit(remaining)}, now)
	}
	var four []uint64
	for range 4 {
		four = append(four, take())
	}
	report(four[1], 50)
	left(50 - 3) // three are running
	report(four[3], 48)
	left(48 - 2)
	report(four[0], 51) // counted before the others, received late
	left(48 - 1)
	last := take()
	left(48 - 2)
	q.release(q.byCredential["c"], four[2], requestOutcome{sent: true}, now) // no report: counts as one
	left(47 - 1)
	report(last, 46) // newer than all other reports; includes four[2]
	left(46)
	q.release(q.byCredential["c"], take(), requestOutcome{}, now) // not sent
	left(46)
	// Forty concurrent requests with one report each: all are accounted for.
	var forty []uint64
	for range 40 {
		forty = append(forty, take())
	}
	left(46 - 40)
	for i, number := range forty {
		report(number, 45-(i*7)%40)
	}
	left(6)
}

// If only running requests are in the way the wait is short; a report of an earlier window is
// ignored; requests that ended without a report are subtracted from an earlier one.
func TestQuota_RunningRequestsAreNotExhaustion(t *testing.T) {
	limit := func(remaining int, reset time.Duration) requestOutcome {
		return requestOutcome{sent: true, rateLimit: adapters.RateLimit{Known: true, Limit: 60, Remaining: remaining, Reset: reset}}
	}
	now := time.Now()
	q := newQuotas()
	take := func() uint64 { number, _ := q.acquire(q.forCredential("c"), now, false); return number }
	first, slow := take(), take()
	for range 3 {
		take()
	}
	q.release(q.byCredential["c"], first, limit(4, time.Hour), now)
	if _, wait := q.acquire(q.forCredential("c"), now, false); wait != recheckAfter {
		t.Errorf("four of four are running: wait %s", wait)
	}
	q.release(q.byCredential["c"], slow, limit(0, 10*time.Second), now) // of an earlier window
	if left, _, _ := q.remaining(q.byCredential["c"], now); left != 4-3 {
		t.Errorf("%d left", left)
	}
	q = newQuotas()
	first = take()
	for range 29 {
		q.release(q.byCredential["c"], take(), requestOutcome{sent: true}, now)
	}
	q.release(q.byCredential["c"], first, limit(50, time.Minute), now)
	if left, _, _ := q.remaining(q.byCredential["c"], now); left != 50-29 {
		t.Errorf("%d left after 29 without a report", left)
	}
}

// Concurrent 429s count as one.
func TestQuota_Concurrent429sBackOffOnce(t *testing.T) {
	q := newQuotas()
	now := time.Now()
	var numbers []uint64
	for range 8 {
		number, _ := q.acquire(q.forCredential("c"), now, false)
		numbers = append(numbers, number)
	}
	c := q.byCredential["c"]
	for _, number := range numbers {
		if wait := q.block(c, 0, now); wait > 2*time.Second {
			t.Errorf("blocked for %s", wait)
		}
		q.release(c, number, requestOutcome{sent: true, rateLimited: true}, now)
	}
	if q.byCredential["c"].unspecified429s != 1 {
		t.Errorf("%d counted", q.byCredential["c"].unspecified429s)
	}
}

// Background requests leave a fifth of the quota to foreground requests.
func TestQuota_ForegroundReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, send := quotaChain(per(10, time.Minute), func() (normalize.Kind, http.Header) { return success, http.Header{} })
		for i := range 10 {
			err := send(WithBackgroundPriority(context.Background()))
			if (err == nil) != (i < 8) {
				t.Fatalf("background request %d: %v", i, err)
			}
		}
		if v := q.view(q.forCredential(adapters.NewCredential(secret.New("c")).ID()), time.Now()); v.Remaining != 2 || v.RetryAfterS != nil {
			t.Errorf("%+v", v)
		}
		for i := range 3 {
			if err := send(context.Background()); (err == nil) != (i < 2) {
				t.Errorf("foreground request %d: %v", i, err)
			}
		}
		time.Sleep(time.Minute)
		if err := send(WithBackgroundPriority(context.Background())); err != nil {
			t.Errorf("in the next window: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // of the reported limit, too
		_, send := quotaChain(nil, func() (normalize.Kind, http.Header) { return success, rateLimitHeaders(12, 30) })
		if err := send(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := send(WithBackgroundPriority(context.Background())); normalize.KindOf(err) != normalize.KindRateLimited {
			t.Errorf("%v", err)
		}
		if err := send(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The wait after a 429 without Retry-After doubles with each consecutive one.
func TestQuota_BackoffWithoutRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kind := normalize.KindRateLimited
		_, send := quotaChain(nil, func() (normalize.Kind, http.Header) { return kind, http.Header{} })
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			err := send(context.Background())
			failure := err.(*normalize.Error)
			if least := want * time.Second; failure.Status == 0 || failure.RetryAfter < least || failure.RetryAfter > min(least*5/4, maxBackoff) {
				t.Errorf("blocked for %s, want about %ds", failure.RetryAfter, want)
			}
			if again := send(context.Background()).(*normalize.Error); again.Status != 0 || again.RetryAfter != failure.RetryAfter {
				t.Errorf("meanwhile: %+v", again)
			}
			time.Sleep(failure.RetryAfter)
		}
		kind = success
		if err := send(context.Background()); err != nil {
			t.Fatal(err)
		}
		kind = normalize.KindRateLimited
		if failure := send(context.Background()).(*normalize.Error); failure.RetryAfter > 2*time.Second {
			t.Errorf("after a success: %s", failure.RetryAfter)
		}
	})
}

// Requests that the provider may have received are counted, others are not; none counts as
// running after it ended.
func TestQuota_CountsRequestsThatMayHaveBeenSent(t *testing.T) {
	for _, kind := range normalize.Kinds() {
		q, send := quotaChain(per(5, time.Hour), func() (normalize.Kind, http.Header) { return kind, nil })
		_ = send(context.Background())
		c := q.byCredential[adapters.NewCredential(secret.New("c")).ID()]
		want := problem.Outcomes[kind].Ambiguous || kind == normalize.KindRateLimited // which is a response
		if counted := len(c.ended) == 1; counted != want || c.running != 0 {
			t.Errorf("%s: counted %v, %d running", kind, counted, c.running)
		}
	}
	q, send := quotaChain(per(5, time.Hour), func() (normalize.Kind, http.Header) { panic("in the round trip") })
	func() {
		defer func() { _ = recover() }()
		_ = send(context.Background())
	}()
	if c := q.byCredential[adapters.NewCredential(secret.New("c")).ID()]; c.running != 0 || len(c.ended) != 1 {
		t.Errorf("after a panic %d running, %d ended", c.running, len(c.ended))
	}
}

// The rate also holds where the provider receives the requests, whatever their latency.
func TestQuota_HoldsAtTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotas()
		q.setRate(per(5, 10*time.Second))
		var mu sync.Mutex
		var arrived []time.Time
		for i := range 3000 {
			time.Sleep(time.Duration(i*7919%1300) * time.Millisecond)
			c := q.forCredential("c")
			request, wait := q.acquire(c, time.Now(), false)
			if wait > 0 {
				continue
			}
			go func() {
				time.Sleep(time.Duration(i*104729%3000) * time.Millisecond)
				mu.Lock()
				arrived = append(arrived, time.Now())
				mu.Unlock()
				time.Sleep(time.Duration(i*1299709%3000) * time.Millisecond)
				q.release(c, request, requestOutcome{sent: true}, time.Now())
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i := 5; i < len(arrived); i++ {
			if arrived[i].Sub(arrived[i-5]) < 10*time.Second {
				t.Fatalf("six requests arrived within %s", arrived[i].Sub(arrived[i-5]))
			}
		}
		if len(arrived) < 300 {
			t.Errorf("only %d were sent", len(arrived))
		}
	})
}

// lowest returns the smaller of the configured and the reported limit.
func TestQuota_Lowest(t *testing.T) {
	now := time.Now()
	f := func(name string, rate *config.Rate, c *quota, wantLeft, wantLimit int64, wantKnown bool) {
		t.Helper()
		q := newQuotas()
		q.setRate(rate)
		if c != nil {
			q.byCredential["c"] = c
		}
		if left, limit, known := q.lowest(); left != wantLeft || limit != wantLimit || known != wantKnown {
			t.Errorf("%s: %d of %d, known %v", name, left, limit, known)
		}
	}
	rate := &config.Rate{Requests: 600, Per: config.Duration(time.Minute)}
	f("no limit", nil, nil, 0, 0, false)
	f("no request yet", rate, nil, 600, 600, true)
	f("the reported limit is lower", rate, &quota{reported: &providerLimit{limit: 10, remaining: 9, resetAt: now.Add(time.Minute)}}, 9, 10, true)
	f("only a reported limit", nil, &quota{reported: &providerLimit{limit: 10, remaining: 4, resetAt: now.Add(time.Minute)}}, 4, 10, true)
	f("only blocked by a 429", nil, &quota{blockedUntil: now.Add(time.Minute)}, 0, 1, true)
}

// No window, wherever it starts, has more requests than the quota.
func TestQuota_HoldsInEveryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotas()
		q.setRate(&config.Rate{Requests: 5, Per: config.Duration(10 * time.Second)})
		var sent []time.Time
		for i := range 2000 {
			time.Sleep(time.Duration(i*7919%2300) * time.Millisecond)
			c := q.forCredential("c")
			request, wait := q.acquire(c, time.Now(), false)
			if wait > 0 && i%3 == 0 { // the wait is exact
				time.Sleep(wait)
				var again time.Duration
				if request, again = q.acquire(c, time.Now(), false); again != 0 {
					t.Fatalf("wait %s, then %s more", wait, again)
				}
				wait = 0
			}
			if wait > 0 {
				continue
			}
			sent = append(sent, time.Now())
			q.release(c, request, requestOutcome{sent: true}, time.Now())
		}
		for i := 5; i < len(sent); i++ {
			if sent[i].Sub(sent[i-5]) < 10*time.Second {
				t.Fatalf("six requests in %s", sent[i].Sub(sent[i-5]))
			}
		}
		if len(sent) < 300 {
			t.Errorf("only %d requests were admitted", len(sent))
		}
	})
}

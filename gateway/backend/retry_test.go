package backend

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// newTestRetrier wraps next in a retrier with an empty budget.
func newTestRetrier(t *testing.T, breakerClosed bool, next adapters.RoundTrip) adapters.RoundTrip {
	t.Helper()
	r := &retrier{backend: "b", timeout: 4 * time.Second, breakerClosed: func(string) bool { return breakerClosed }, budget: &retryBudget{}}
	return r.middleware(testTelemetry(t))(next)
}

// Reads are retried after failures that may be transient, if there is time left and the
// breaker is closed; writes never are.
func TestRetry_WhichFailures(t *testing.T) {
	f := func(what string, want int, op adapters.Operation, failure *normalize.Error, left time.Duration, closed bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var resends []int
			roundTrip := newTestRetrier(t, closed, func(_ context.Context, req *adapters.Request) error {
				resends = append(resends, req.Resend)
				return failure
			})
			ctx, cancel := context.WithTimeout(context.Background(), left)
			defer cancel()
			req := &adapters.Request{Op: op}
			if err := roundTrip(ctx, req); err != failure {
				t.Errorf("%s: %v", what, err)
			}
			if len(resends) != want || want == 2 && resends[1] != 1 || resends[0] != 0 || req.Resend != 0 {
				t.Errorf("%s: sent %d times %v, want %d", what, len(resends), resends, want)
			}
		})
	}
	const plenty = 10 * time.Second
	for _, kind := range normalize.Kinds() {
		want := 1
		if problem.Outcomes[kind].Retry {
			want = 2
		}
		f(kind.String(), want, adapters.OpList, &normalize.Error{Kind: kind}, plenty, true)
		f(kind.String()+" of a get", want, adapters.OpGet, &normalize.Error{Kind: kind}, plenty, true)
		for _, write := range []adapters.Operation{adapters.OpCreate, adapters.OpUpdate, adapters.OpDelete} {
			f(kind.String()+" of a "+string(write), 1, write, &normalize.Error{Kind: kind}, plenty, true)
		}
		f(kind.String()+", breaker open", 1, adapters.OpList, &normalize.Error{Kind: kind}, plenty, false)
	}
	reset := normalize.KindReset
	f("no time left", 1, adapters.OpList, &normalize.Error{Kind: reset}, 900*time.Millisecond, true)
	f("just enough time left", 2, adapters.OpList, &normalize.Error{Kind: reset}, 1200*time.Millisecond, true)
	f("a short Retry-After", 2, adapters.OpList, &normalize.Error{Kind: normalize.KindUnavailable, RetryAfter: 900 * time.Millisecond}, plenty, true)
	f("a long Retry-After", 1, adapters.OpList, &normalize.Error{Kind: normalize.KindUnavailable, RetryAfter: 2 * time.Second}, plenty, true)
}

// If the retry is refused within the gateway, the first failure is returned.
func TestRetry_RefusedRetryReturnsFirstFailure(t *testing.T) {
	for _, refused := range []*normalize.Error{
		{Kind: normalize.KindBreakerOpen}, {Kind: normalize.KindBusy}, {Kind: normalize.KindRateLimited}, {Kind: normalize.KindExpired, Unsent: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			outcomes := []error{&normalize.Error{Kind: normalize.KindReset}, refused}
			roundTrip := newTestRetrier(t, true, func(context.Context, *adapters.Request) error {
				err := outcomes[0]
				outcomes = outcomes[1:]
				return err
			})
			if err := roundTrip(context.Background(), &adapters.Request{Op: adapters.OpGet}); normalize.KindOf(err) != normalize.KindReset || len(outcomes) > 0 {
				t.Errorf("%s: %v", refused.Kind, err)
			}
		})
	}
}

// Requests that were not sent add nothing to the budget.
func TestRetryBudget_IgnoresRefusedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, resent := 0, 0
		refuse := true
		roundTrip := newTestRetrier(t, true, func(_ context.Context, req *adapters.Request) error {
			if refuse {
				return &normalize.Error{Kind: normalize.KindBusy}
			}
			sent++
			resent += req.Resend
			return &normalize.Error{Kind: normalize.KindReset}
		})
		for range 1000 {
			_ = roundTrip(context.Background(), &adapters.Request{Op: adapters.OpGet})
		}
		refuse = false
		for range 5 {
			_ = roundTrip(context.Background(), &adapters.Request{Op: adapters.OpGet})
		}
		if sent != 6 || resent != 1 { // the one that each second allows
			t.Errorf("sent %d, %d of them again", sent, resent)
		}
	})
}

// A read that failed on a reused connection is sent again whatever the budget.
func TestRetry_StaleConnectionNeedsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resent := 0
		roundTrip := newTestRetrier(t, true, func(_ context.Context, req *adapters.Request) error {
			if req.Resend > 0 {
				resent++
				return nil
			}
			return &normalize.Error{Kind: normalize.KindReset, StaleConnection: true}
		})
		for n := range 20 {
			if err := roundTrip(t.Context(), &adapters.Request{Op: adapters.OpGet}); err != nil || resent != n+1 {
				t.Fatalf("request %d: %v, %d sent again", n+1, err, resent)
			}
		}
		_ = roundTrip(t.Context(), &adapters.Request{Op: adapters.OpUpdate})
		if resent != 20 {
			t.Error("a write was sent again")
		}
	})
}

// The response to the retry is the result, and each attempt is decoded on its own.
func TestRetry_Succeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, decoded := 0, 0
		wrapping := func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				decode := req.Decode
				req.Decode = func(r adapters.Response) error { decoded++; return decode(r) }
				return next(ctx, req)
			}
		}
		roundTrip := newTestRetrier(t, true, wrapping(func(_ context.Context, req *adapters.Request) error {
			if calls++; calls == 1 {
				return &normalize.Error{Kind: normalize.KindReset}
			}
			return req.Receive(adapters.Response{Status: 200})
		}))
		if err := roundTrip(context.Background(), &adapters.Request{Op: adapters.OpGet, Decode: func(adapters.Response) error { return nil }}); err != nil || calls != 2 || decoded != 1 {
			t.Errorf("%v, %d calls, decoded %d times", err, calls, decoded)
		}
	})
}

// In no stretch of time are there more retries than a tenth of its calls, plus the accumulated
// tokens, plus one a second; and one a second is always allowed.
func TestRetryBudget_BoundsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b retryBudget
		began, last := time.Now(), time.Time{}
		retries, calls := 0, 0
		beyond := func() float64 {
			return float64(retries) - retryRatio*float64(calls) - time.Since(began).Seconds()
		}
		least := 0.0
		for i := range 50_000 {
			pace := 400 * time.Millisecond
			if i%2000 < 1000 { // a burst, in which one a second hardly counts
				pace = 4 * time.Millisecond
			}
			time.Sleep(rand.N(pace))
			b.deposit()
			calls++
			if rand.IntN(3) == 0 {
				continue
			}
			now := time.Now()
			least = min(least, beyond())
			switch {
			case b.withdraw(now):
				retries++
				last = now
			case now.Sub(last) >= time.Second:
				t.Fatal("not even one a second")
			}
			if over := beyond() - least; over > maxRetryTokens+1 {
				t.Fatalf("%.1f retries too many", over)
			}
		}
		if retries < calls/20 {
			t.Errorf("only %d retries of %d calls", retries, calls)
		}
	})
}

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

func retriesOf(t *testing.T, closed bool, next adapters.RoundTrip) adapters.RoundTrip {
	t.Helper()
	r := &retrier{backend: "b", timeout: 4 * time.Second, breakerClosed: func() bool { return closed }, budget: &retryBudget{}}
	return r.middleware(quiet(t))(next)
}

// TestRetried: which failures, of what, and with how much time left.
func TestRetried(t *testing.T) {
	f := func(what string, want int, op adapters.Operation, failure *normalize.Error, left time.Duration, closed bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var resends []int
			exchange := retriesOf(t, closed, func(_ context.Context, req *adapters.Request) error {
				resends = append(resends, req.Resend)
				return failure
			})
			ctx, cancel := context.WithTimeout(context.Background(), left)
			defer cancel()
			req := &adapters.Request{Op: op}
			if err := exchange(ctx, req); err != failure {
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
	f("no time for it", 1, adapters.OpList, &normalize.Error{Kind: reset}, 900*time.Millisecond, true)
	f("just time enough", 2, adapters.OpList, &normalize.Error{Kind: reset}, 1200*time.Millisecond, true)
	f("a short wait asked for", 2, adapters.OpList, &normalize.Error{Kind: normalize.KindUnavailable, RetryAfter: 900 * time.Millisecond}, plenty, true)
	f("a long one", 1, adapters.OpList, &normalize.Error{Kind: normalize.KindUnavailable, RetryAfter: 2 * time.Second}, plenty, true)
}

// TestRetryThatIsNotSent leaves the first failure to be told: why a second request
// was refused is nobody's trouble.
func TestRetryThatIsNotSent(t *testing.T) {
	for _, refused := range []*normalize.Error{
		{Kind: normalize.KindBreakerOpen}, {Kind: normalize.KindBusy}, {Kind: normalize.KindRateLimited}, {Kind: normalize.KindExpired, Unsent: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			answers := []error{&normalize.Error{Kind: normalize.KindReset}, refused}
			exchange := retriesOf(t, true, func(context.Context, *adapters.Request) error {
				err := answers[0]
				answers = answers[1:]
				return err
			})
			if err := exchange(context.Background(), &adapters.Request{Op: adapters.OpGet}); normalize.KindOf(err) != normalize.KindReset || len(answers) > 0 {
				t.Errorf("%s: %v", refused.Kind, err)
			}
		})
	}
}

// TestRefusalsFillNoBudget: what was not sent allows no retry.
func TestRefusalsFillNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, resent := 0, 0
		refuse := true
		exchange := retriesOf(t, true, func(_ context.Context, req *adapters.Request) error {
			if refuse {
				return &normalize.Error{Kind: normalize.KindBusy}
			}
			sent++
			resent += req.Resend
			return &normalize.Error{Kind: normalize.KindReset}
		})
		for range 1000 {
			_ = exchange(context.Background(), &adapters.Request{Op: adapters.OpGet})
		}
		refuse = false
		for range 5 {
			_ = exchange(context.Background(), &adapters.Request{Op: adapters.OpGet})
		}
		if sent != 6 || resent != 1 { // the one a second
			t.Errorf("sent %d, %d of them again", sent, resent)
		}
	})
}

// TestRetry_StaleConnectionNeedsNoBudget: a read that failed on a connection that had
// been used before is sent again however many were.
func TestRetry_StaleConnectionNeedsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resent := 0
		exchange := retriesOf(t, true, func(_ context.Context, req *adapters.Request) error {
			if req.Resend > 0 {
				resent++
				return nil
			}
			return &normalize.Error{Kind: normalize.KindReset, StaleConnection: true}
		})
		for n := range 20 {
			if err := exchange(t.Context(), &adapters.Request{Op: adapters.OpGet}); err != nil || resent != n+1 {
				t.Fatalf("request %d: %v, %d sent again", n+1, err, resent)
			}
		}
		_ = exchange(t.Context(), &adapters.Request{Op: adapters.OpUpdate})
		if resent != 20 {
			t.Error("a write was sent again")
		}
	})
}

// TestRetryMends: the second answer is the answer, and each attempt is decoded by
// itself.
func TestRetryMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, decoded := 0, 0
		wrapping := func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				decode := req.Decode
				req.Decode = func(r adapters.Response) error { decoded++; return decode(r) }
				return next(ctx, req)
			}
		}
		exchange := retriesOf(t, true, wrapping(func(_ context.Context, req *adapters.Request) error {
			if calls++; calls == 1 {
				return &normalize.Error{Kind: normalize.KindReset}
			}
			return req.Receive(adapters.Response{Status: 200})
		}))
		if err := exchange(context.Background(), &adapters.Request{Op: adapters.OpGet, Decode: func(adapters.Response) error { return nil }}); err != nil || calls != 2 || decoded != 1 {
			t.Errorf("%v, %d calls, decoded %d times", err, calls, decoded)
		}
	})
}

// TestRetryBudget: in no stretch of time are there more retries than a tenth of its
// calls, what may be left over from before, and one a second; and one a second
// there always is.
func TestRetryBudget(t *testing.T) {
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
			if i%2000 < 1000 { // a burst, in which nothing but the calls counts
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

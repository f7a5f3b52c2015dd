package gateway

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

func retriesOf(t *testing.T, closed bool, next adapters.Exchange) adapters.Exchange {
	t.Helper()
	r := &retries{backend: "b", timeout: 4 * time.Second, closed: func() bool { return closed }}
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
		if outcomes[kind].retry {
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

// TestRetryMends: the second answer is the answer, and each attempt is decoded by
// itself.
func TestRetryMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, decoded := 0, 0
		wrapping := func(next adapters.Exchange) adapters.Exchange {
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
			return req.Decode(adapters.Response{Status: 200})
		}))
		if err := exchange(context.Background(), &adapters.Request{Op: adapters.OpGet, Decode: func(adapters.Response) error { return nil }}); err != nil || calls != 2 || decoded != 1 {
			t.Errorf("%v, %d calls, decoded %d times", err, calls, decoded)
		}
	})
}

// TestRetryBudget slides a window over calls and retries at random rates.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b retryBudget
		type event struct {
			at    time.Time
			retry bool
		}
		var events []event
		for range 20_000 {
			time.Sleep(rand.N(time.Duration(1+rand.IntN(400)) * time.Millisecond))
			b.called(time.Now())
			events = append(events, event{time.Now(), false})
			if rand.IntN(3) > 0 && b.take(time.Now()) {
				events = append(events, event{time.Now(), true})
			}
		}
		retries, lastRetry := 0, time.Time{}
		for i, e := range events {
			if !e.retry {
				continue
			}
			retries++
			calls, within := 0, 0
			for j := i; j >= 0 && e.at.Unix()-events[j].at.Unix() < 10; j-- {
				if events[j].retry {
					within++
				} else {
					calls++
				}
			}
			if within*retryShare > calls && e.at.Sub(lastRetry) < time.Second {
				t.Fatalf("retry %d of %d calls in ten seconds, %s after the last", within, calls, e.at.Sub(lastRetry))
			}
			lastRetry = e.at
		}
		if retries < 1000 {
			t.Errorf("only %d retries of 20,000 calls", retries)
		}
	})
}

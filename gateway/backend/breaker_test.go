package backend

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// testTelemetry returns telemetry that is not exported.
func testTelemetry(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// scriptedBackend ends requests as its fields say, and counts them.
type scriptedBackend struct {
	kind    normalize.Kind // of the failure
	success bool
	sent    int
	latency time.Duration
}

func (s *scriptedBackend) roundTrip(_ context.Context, req *adapters.Request) error {
	s.sent++
	time.Sleep(s.latency)
	if s.success {
		return nil
	}
	return &normalize.Error{Kind: s.kind}
}

// newTestBreaker returns a breaker, the backend behind it and a function that sends a request.
func newTestBreaker(t *testing.T, c config.Breaker) (*breaker, *scriptedBackend, func() normalize.Kind) {
	t.Helper()
	b := newBreaker("b", "p", c, func(string, string, time.Duration) {}, func(string, string, time.Duration) {})
	s := &scriptedBackend{kind: normalize.KindUpstream}
	roundTrip := b.middleware()(s.roundTrip)
	return b, s, func() normalize.Kind {
		if err := roundTrip(context.Background(), &adapters.Request{Op: adapters.OpList}); err != nil {
			return normalize.KindOf(err)
		}
		return normalize.KindUnsupported // stands for no failure: no request ends with it
	}
}

func breakerConfig() config.Breaker {
	s := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }
	return config.Breaker{FailureRatio: 0.5, MinRequests: 20, Window: s(10), Consecutive: 5, OpenFor: s(5), MaxOpenFor: s(60)}
}

// The backoff doubles each time that the probe fails, up to max_open_for, and halves again for
// each window during which the breaker stays closed.
func TestBreaker_BackoffGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, send := newTestBreaker(t, breakerConfig())
		for range 5 {
			send()
		}
		opening := func(want time.Duration) {
			t.Helper()
			if got := b.state(); got != "open" {
				t.Fatalf("the breaker is %s", got)
			}
			left := b.backend.retryAfter()
			if left < want*9/10 || left > want*11/10 {
				t.Errorf("it stays open for %s, want about %s", left, want)
			}
			sent := s.sent
			time.Sleep(left - time.Millisecond)
			if kind := send(); kind != normalize.KindBreakerOpen || s.sent != sent {
				t.Errorf("before its end: %s, %d sent", kind, s.sent-sent)
			}
			time.Sleep(2 * time.Millisecond)
			if got := b.state(); got != "half_open" {
				t.Errorf("after its end the breaker is %s", got)
			}
		}
		for _, seconds := range []time.Duration{5, 10, 20, 40, 60, 60} {
			opening(seconds * time.Second)
			send() // the probe
		}
		// It closes, and opens again at once: as long as before.
		opening(60 * time.Second)
		s.success = true
		send()
		if got := b.state(); got != "closed" {
			t.Fatalf("after a successful probe it is %s", got)
		}
		s.success = false
		for range 5 {
			send()
		}
		opening(60 * time.Second)
		// After three windows without trouble it is an eighth, doubled.
		s.success = true
		send()
		time.Sleep(35 * time.Second)
		s.success = false
		for range 5 {
			send()
		}
		opening(15 * time.Second)
		// And long after it is as at first.
		s.success = true
		send()
		time.Sleep(24 * time.Hour)
		s.success = false
		for range 5 {
			send()
		}
		opening(5 * time.Second)
	})
}

// While the probe runs all other requests are refused. Failures that are not the backend's
// leave the breaker half open.
func TestBreaker_SingleProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, send := newTestBreaker(t, breakerConfig())
		for range 5 {
			send()
		}
		time.Sleep(6 * time.Second)
		s.success, s.latency = true, time.Second
		sent := s.sent
		for range 10 {
			go send()
		}
		synctest.Wait()
		if s.sent != sent+1 {
			t.Errorf("%d probes", s.sent-sent)
		}
		time.Sleep(2 * time.Second)
		if got := b.state(); got != "closed" {
			t.Errorf("the breaker is %s", got)
		}
		s.success, s.latency = false, 0
		for range 5 {
			send()
		}
		time.Sleep(12 * time.Second)
		for _, neutral := range []normalize.Kind{normalize.KindRateLimited, normalize.KindCanceled, normalize.KindAuth, normalize.KindBusy, normalize.KindInternal} {
			s.kind = neutral
			if send(); b.state() != "half_open" {
				t.Errorf("%s: the breaker is %s", neutral, b.state())
			}
		}
		s.kind = normalize.KindNotFound // a response like any other
		if send(); b.state() != "closed" {
			t.Errorf("the breaker is %s", b.state())
		}
	})
}

// Consecutive failures open the breaker however long each takes: also if the backend hangs.
func TestBreaker_OpensOnConsecutiveSlowFailures(t *testing.T) {
	for _, took := range []time.Duration{0, time.Second, 2500 * time.Millisecond, 5 * time.Second, 12 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b, s, send := newTestBreaker(t, breakerConfig())
			s.latency = took
			for range 4 {
				send()
			}
			s.success = true
			send()
			s.success = false
			for i := range 5 {
				if got := b.state(); got != "closed" {
					t.Fatalf("%s each: open after %d", took, i)
				}
				send()
			}
			if got := b.state(); got != "open" {
				t.Errorf("%s each: after 5 in a row it is %s", took, got)
			}
		})
	}
}

// The share of failures counts from min_requests on, and only within the window.
func TestBreaker_OpensOnFailureRatioInWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerConfig()
		c.Consecutive = 1000
		b, s, send := newTestBreaker(t, c)
		s.success = true
		for range 10_000 {
			send()
		}
		time.Sleep(11 * time.Second) // the successes leave the window
		s.success = false
		for i := range 20 {
			if got := b.state(); got != "closed" {
				t.Fatalf("open after %d failures", i)
			}
			send()
		}
		if got := b.state(); got != "open" {
			t.Errorf("after 20 failures of 20 it is %s", got)
		}
	})
}

// The share of failures counts calls that hang, whatever their duration and the length of the
// window.
func TestBreaker_FailureRatioCountsHangingCalls(t *testing.T) {
	for _, c := range []struct{ window, hangs time.Duration }{
		{10 * time.Second, 5 * time.Second}, {10 * time.Second, 9 * time.Second}, {10 * time.Second, 14 * time.Second}, {2 * time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			settings := breakerConfig()
			settings.Window, settings.Consecutive = config.Duration(c.window), 1_000_000
			b := newBreaker("b", "p", settings, func(string, string, time.Duration) {}, func(string, string, time.Duration) {})
			calls := 0
			roundTrip := b.middleware()(func(context.Context, *adapters.Request) error {
				if calls++; calls%5 < 2 {
					return nil
				}
				time.Sleep(c.hangs)
				return &normalize.Error{Kind: normalize.KindTimeout}
			})
			var wg sync.WaitGroup
			for range 2000 { // twenty a second
				if b.state() == "open" {
					break
				}
				wg.Go(func() { _ = roundTrip(context.Background(), &adapters.Request{Op: adapters.OpList}) })
				synctest.Wait()
				time.Sleep(50 * time.Millisecond)
			}
			if calls == 2000 {
				t.Errorf("window %s: still %s after 100 s in which three of five calls hang for %s", c.window, b.state(), c.hangs)
			}
			wg.Wait()
		})
	}
}

// newAccountsBreaker returns a breaker and a function that sends a request of an account, which
// ends with a failure of that kind, or succeeds for 0.
func newAccountsBreaker(c config.Breaker) (*breaker, func(account string, kind normalize.Kind) normalize.Kind) {
	ignore := func(string, string, time.Duration) {}
	b := newBreaker("b", "p", c, ignore, ignore)
	return b, func(account string, kind normalize.Kind) normalize.Kind {
		roundTrip := b.middleware()(func(context.Context, *adapters.Request) error {
			if kind == 0 {
				return nil
			}
			failure := &normalize.Error{Kind: kind}
			if kind == normalize.KindUpstream || kind == normalize.KindWrongShape {
				failure.Status = 500
			}
			return failure
		})
		req := &adapters.Request{Op: adapters.OpGet, Credential: adapters.NewCredential(secret.New(account))}
		if err := roundTrip(context.Background(), req); err != nil {
			return normalize.KindOf(err)
		}
		return 0
	}
}

// What one account is answered with opens the breaker for that account only.
func TestBreaker_OneAccountTakesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, send := newAccountsBreaker(breakerConfig())
		send("good", 0)
		refused := 0
		for i := range 400 { // 40 a second
			if send("bad", normalize.KindUpstream) == normalize.KindBreakerOpen {
				refused++
			}
			if i%20 == 0 {
				if kind := send("good", 0); kind != 0 {
					t.Fatalf("after %d failures of the other account: %s", i, kind)
				}
			}
			if i == 200 { // one of its own, by chance
				send("good", normalize.KindUpstream)
			}
			time.Sleep(25 * time.Millisecond)
		}
		if got := b.state(); got != "closed" || refused < 300 {
			t.Errorf("the backend's breaker is %s, %d requests of the failing account were refused", got, refused)
		}
		if got := b.forAccount(adapters.NewCredential(secret.New("bad")).ID()).state(); got == "closed" {
			t.Error("the account's breaker is closed")
		}
	})
}

// Failures with an answer open the breaker of the backend if several accounts have them, or if
// there is only one; failures before an answer open it whoever has them.
func TestBreaker_OpensForAll(t *testing.T) {
	for name, kinds := range map[string]struct {
		accounts []string
		kind     normalize.Kind
		requests int
	}{
		"two accounts with 500":       {[]string{"a", "b"}, normalize.KindUpstream, 6},
		"one active account with 500": {[]string{"a"}, normalize.KindUpstream, 5},
		"cannot be connected to":      {[]string{"a"}, normalize.KindConnect, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, send := newAccountsBreaker(breakerConfig())
			if kinds.kind == normalize.KindConnect {
				send("other", 0)
			}
			for i := range kinds.requests {
				send(kinds.accounts[i%len(kinds.accounts)], kinds.kind)
			}
			if got := b.state(); got != "open" {
				t.Errorf("%s: the breaker is %s", name, got)
			}
		})
	}
}

// The probe of a half-open breaker is not decided by what one account is answered with, and no
// account keeps the others from sending one.
func TestBreaker_FailingAccountDoesNotKeepItOpen(t *testing.T) {
	for _, kind := range []normalize.Kind{normalize.KindUpstream, normalize.KindWrongShape, normalize.KindTimeout, normalize.KindReset, normalize.KindDeadline} {
		synctest.Test(t, func(t *testing.T) {
			b, send := newAccountsBreaker(breakerConfig())
			send("good", 0)
			for range 5 {
				send("bad", normalize.KindConnect)
			}
			if got := b.state(); got != "open" {
				t.Fatalf("the breaker is %s", got)
			}
			time.Sleep(6 * time.Second)
			for range 20 { // the failing account asks first, and again and again
				send("bad", kind)
			}
			if got := b.state(); got == "open" {
				t.Errorf("%s: after the failing account's probe it is %s", kind, got)
			}
			if got := send("good", 0); got != 0 || b.state() != "closed" {
				t.Errorf("%s: %s, the breaker is %s", kind, got, b.state())
			}
		})
	}
}

// An account that calls now and then, because its cache serves it in between, is not cut off by
// one that fails all the time.
func TestBreaker_QuietAccount(t *testing.T) {
	for _, kind := range []normalize.Kind{normalize.KindUpstream, normalize.KindTimeout, normalize.KindReset} {
		synctest.Test(t, func(t *testing.T) {
			_, send := newAccountsBreaker(breakerConfig())
			send("good", 0)
			for second := range 30 * 60 {
				send("bad", kind)
				if second%30 == 0 {
					if got := send("good", 0); got != 0 {
						t.Fatalf("%s: after %d s the other account's call was %s", kind, second, got)
					}
				}
				time.Sleep(time.Second)
			}
		})
	}
}

func TestOutcomeWindow_AnyLength(t *testing.T) {
	for _, length := range []time.Duration{1, time.Microsecond, time.Second, 24 * time.Hour, 1<<63 - 1} {
		w := newOutcomeWindow(length)
		now := time.Now()
		for range 20 {
			w.addFailure(now, "a")
		}
		if calls, failures := w.counts(now); calls != 20 || failures["a"] != 20 || w.consecutive["a"] != 20 {
			t.Errorf("%s: %v of %d, %v in a row", length, failures, calls, w.consecutive)
		}
		if calls, _ := w.counts(now.Add(length)); length < 1<<62 && length >= windowBuckets && calls != 0 {
			t.Errorf("%s: %d calls are left after the window", length, calls)
		}
	}
}

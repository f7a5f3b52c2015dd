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
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

func quiet(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// script is an exchange that ends as it is told to, and counts.
type script struct {
	kind normalize.Kind
	well bool
	sent int
	took time.Duration
}

func (s *script) exchange(_ context.Context, req *adapters.Request) error {
	s.sent++
	time.Sleep(s.took)
	if s.well {
		return nil
	}
	return &normalize.Error{Kind: s.kind}
}

func breakerOf(t *testing.T, c config.Breaker) (*breaker, *script, func() normalize.Kind) {
	t.Helper()
	b := newBreaker("b", "p", c, func(string, string, time.Duration) {})
	s := &script{kind: normalize.KindUpstream}
	exchange := b.middleware()(s.exchange)
	return b, s, func() normalize.Kind {
		if err := exchange(context.Background(), &adapters.Request{Op: adapters.OpList}); err != nil {
			return normalize.KindOf(err)
		}
		return normalize.KindUnsupported // stands for none: no backend's exchange ends so
	}
}

func breakerConfig() config.Breaker {
	s := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }
	return config.Breaker{FailureRatio: 0.5, MinRequests: 20, Window: s(10), Consecutive: 5, OpenFor: s(5), MaxOpenFor: s(60)}
}

// TestPausesGrow: each time that the probe fails, up to the longest, and shrink
// again while the breaker stays closed.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, send := breakerOf(t, breakerConfig())
		for range 5 {
			send()
		}
		opening := func(want time.Duration) {
			t.Helper()
			if got := b.state(); got != "open" {
				t.Fatalf("the breaker is %s", got)
			}
			left := b.retryAfter()
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
		s.well = true
		send()
		if got := b.state(); got != "closed" {
			t.Fatalf("after a good probe it is %s", got)
		}
		s.well = false
		for range 5 {
			send()
		}
		opening(60 * time.Second)
		// After three windows without trouble it is an eighth, doubled.
		s.well = true
		send()
		time.Sleep(35 * time.Second)
		s.well = false
		for range 5 {
			send()
		}
		opening(15 * time.Second)
		// And long after it is as at first.
		s.well = true
		send()
		time.Sleep(24 * time.Hour)
		s.well = false
		for range 5 {
			send()
		}
		opening(5 * time.Second)
	})
}

// TestOneProbe: while it runs nobody else is let through, and what says nothing of
// the backend decides nothing.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, send := breakerOf(t, breakerConfig())
		for range 5 {
			send()
		}
		time.Sleep(6 * time.Second)
		s.well, s.took = true, time.Second
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
		s.well, s.took = false, 0
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
		s.kind = normalize.KindNotFound // it is well enough to say so
		if send(); b.state() != "closed" {
			t.Errorf("the breaker is %s", b.state())
		}
	})
}

// TestSlowFailuresInARow open it as fast ones do: a backend that hangs is out.
func TestSlowFailuresInARow(t *testing.T) {
	for _, took := range []time.Duration{0, time.Second, 2500 * time.Millisecond, 5 * time.Second, 12 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b, s, send := breakerOf(t, breakerConfig())
			s.took = took
			for range 4 {
				send()
			}
			s.well = true
			send()
			s.well = false
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

// TestShareInTheWindow: the share of failures counts from so many calls on, within
// the window alone.
func TestShareInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerConfig()
		c.Consecutive = 1000
		b, s, send := breakerOf(t, c)
		s.well = true
		for range 10_000 {
			send()
		}
		time.Sleep(11 * time.Second) // old successes hide nothing
		s.well = false
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

// TestShareOfSlowCalls: a backend on which half of the calls hang is out, however
// long that takes each of them, and whatever the length of the window.
func TestShareOfSlowCalls(t *testing.T) {
	for _, c := range []struct{ window, hangs time.Duration }{
		{10 * time.Second, 5 * time.Second}, {10 * time.Second, 9 * time.Second}, {10 * time.Second, 14 * time.Second}, {2 * time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			settings := breakerConfig()
			settings.Window, settings.Consecutive = config.Duration(c.window), 1_000_000
			b := newBreaker("b", "p", settings, func(string, string, time.Duration) {})
			calls := 0
			exchange := b.middleware()(func(context.Context, *adapters.Request) error {
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
				wg.Go(func() { _ = exchange(context.Background(), &adapters.Request{Op: adapters.OpList}) })
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

// TestWindowsOfAnyLength: none of them is too short, or too long, to be looked at.
func TestWindowsOfAnyLength(t *testing.T) {
	for _, length := range []time.Duration{1, time.Microsecond, time.Second, 24 * time.Hour, 1<<63 - 1} {
		w := outcomeWindow{length: length}
		now := time.Now()
		for range 20 {
			w.add(now, false)
		}
		if calls, failures := w.counts(now); calls != 20 || failures != 20 || w.consecutive != 20 {
			t.Errorf("%s: %d of %d, %d in a row", length, failures, calls, w.consecutive)
		}
		if calls, _ := w.counts(now.Add(length)); length < 1<<62 && length >= windowBuckets && calls != 0 {
			t.Errorf("%s: %d calls are left after it", length, calls)
		}
	}
}

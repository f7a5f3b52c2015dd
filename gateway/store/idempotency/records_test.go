package idempotency

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/gateway/store"
)

// newRecords returns Records whose clock is now. Their store is s or, if s is nil, a new
// one.
func newRecords(t testing.TB, now *time.Time, holder string, s *store.Store) (*Records, *store.Store) {
	t.Helper()
	if s == nil {
		var err error
		if s, err = store.Open(t.Context(), store.Memory, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
	}
	return New(Options{Store: s, Holder: holder, MaxPerCaller: 100, Hold: func() time.Duration { return time.Minute }, Now: func() time.Time { return *now }}), s
}

// TestRecords_MatchModel runs random requests at two instances that share a store, and
// compares each result with a model.
func TestRecords_MatchModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		now := time.Unix(1_000_000, 0)
		one, store := newRecords(t, &now, "one", nil)
		two, _ := newRecords(t, &now, "two", store)
		type request struct {
			since       time.Time
			fingerprint byte
			claim       *Claim // nil once the request has ended
			attempt     string // of the running request
			answer      string
			unknown     string // the attempt whose outcome is unknown
		}
		model := map[ID]*request{}
		ids := rapid.Custom(func(t *rapid.T) ID {
			return ID{rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "caller"), rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key")}
		})
		attempts := 0
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id, fingerprint := ids.Draw(t, "id"), rapid.ByteRange(0, 1).Draw(t, "fingerprint")
				claim, answer, err := rapid.SampledFrom([]*Records{one, two}).Draw(t, "instance").Begin(ctx, id, [32]byte{fingerprint})
				was := model[id]
				expired := was != nil && was.claim != nil && now.Sub(was.since) >= time.Minute
				switch {
				case was == nil:
					if claim == nil || claim.UnknownAttempt != nil || err != nil {
						t.Fatalf("first request: %v, %v", claim, err)
					}
					model[id] = &request{since: now, fingerprint: fingerprint, claim: claim}
				case was.fingerprint != fingerprint:
					if !errors.Is(err, ErrReused) {
						t.Fatalf("different request with the same key: %v", err)
					}
				case was.claim != nil && !expired:
					if !errors.Is(err, ErrRunning) {
						t.Fatalf("while another request runs: %v", err)
					}
				case was.answer != "":
					if err != nil || claim != nil || string(answer) != was.answer {
						t.Fatalf("%s, %v, want %q", answer, err, was.answer)
					}
				default:
					want := was.unknown
					if expired {
						want = was.attempt
					}
					if err != nil || string(claim.UnknownAttempt) != want {
						t.Fatalf("after an unknown outcome: %v, %v, want %q", claim, err, want)
					}
					was.claim, was.since, was.attempt = claim, now, want
				}
			},
			"record attempt": func(t *rapid.T) {
				was := model[ids.Draw(t, "id")]
				if was == nil || was.claim == nil {
					t.Skip("no request is running")
				}
				attempts++
				was.attempt = fmt.Sprint("attempt ", attempts)
				if err := was.claim.RecordAttempt(ctx, []byte(was.attempt)); err != nil {
					t.Fatal(err)
				}
			},
			"end": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				was := model[id]
				if was == nil || was.claim == nil {
					t.Skip("no request is running")
				}
				attempts++
				var err error
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					was.answer = fmt.Sprint(attempts)
					err = was.claim.Complete(ctx, []byte(was.answer))
				case 1:
					was.unknown = fmt.Sprint(attempts)
					err = was.claim.MarkUnknown(ctx, []byte(was.unknown))
				case 2:
					err = errors.Join(was.claim.Release(ctx), was.claim.Complete(ctx, []byte("too late")))
					delete(model, id)
				}
				if err != nil {
					t.Fatal(err)
				}
				was.claim, was.since = nil, now
			},
			"advance clock": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "minutes")) * time.Minute)
				for id, was := range model {
					if now.Sub(was.since) > TTL {
						delete(model, id)
					}
				}
			},
		})
	})
}

func TestBegin_LimitPerCaller(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	records, _ := newRecords(t, &now, "one", nil)
	fill := func(caller string) (n int) {
		for ; n < 1000; n++ {
			claim, _, err := records.Begin(t.Context(), ID{caller, fmt.Sprint(n)}, [32]byte{})
			if errors.Is(err, ErrFull) {
				return n
			}
			if err := claim.Complete(t.Context(), []byte("done")); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	if first, second := fill("greedy"), fill("other"); first != 100 || second != 100 {
		t.Errorf("%d records of one caller, then %d of another", first, second)
	}
	if _, answer, err := records.Begin(t.Context(), ID{"greedy", "0"}, [32]byte{}); err != nil || string(answer) != "done" {
		t.Errorf("the answer was evicted: %s, %v", answer, err)
	}
	now = now.Add(TTL + time.Second)
	if n := fill("greedy"); n != 100 {
		t.Errorf("%d records after the TTL", n)
	}
}

// TestClaim_ExpiredClaimDoesNotOverwrite: a request that took longer than Hold must not be
// sent, nor replace the outcome of the request that claimed its key since.
func TestClaim_ExpiredClaimDoesNotOverwrite(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	one, store := newRecords(t, &now, "one", nil)
	two, _ := newRecords(t, &now, "two", store)
	late, _, err := one.Begin(t.Context(), ID{"acme", "k"}, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Minute)
	quick, _, err := two.Begin(t.Context(), ID{"acme", "k"}, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if err := late.RecordAttempt(t.Context(), []byte("late")); !errors.Is(err, ErrRunning) {
		t.Errorf("the request may be sent twice: %v", err)
	}
	if err := quick.Complete(t.Context(), []byte("quick")); err != nil {
		t.Fatal(err)
	}
	if _, answer, err := one.Begin(t.Context(), ID{"acme", "k"}, [32]byte{}); err != nil || string(answer) != "quick" {
		t.Errorf("%s, %v", answer, err)
	}
}

func TestBegin_ConcurrentRequestsGetOneClaim(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	records, _ := newRecords(t, &now, "one", nil)
	var wg sync.WaitGroup
	claims := make(chan *Claim, 100)
	for range 100 {
		wg.Go(func() {
			if claim, _, err := records.Begin(t.Context(), ID{"acme", "k"}, [32]byte{}); err == nil {
				claims <- claim
			} else if !errors.Is(err, ErrRunning) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(claims) != 1 {
		t.Errorf("%d claims", len(claims))
	}
}

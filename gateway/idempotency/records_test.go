package idempotency

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/gateway/sqlstore"
)

// newRecords keeps them in a store of its own, and goes by the given time.
func newRecords(t testing.TB, now *time.Time, holder string, store *sqlstore.Store) (*Records, *sqlstore.Store) {
	t.Helper()
	if store == nil {
		var err error
		if store, err = sqlstore.Open(t.Context(), sqlstore.Memory, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
	}
	return New(Options{Store: store, Holder: holder, MaxPerCaller: 100, Hold: func() time.Duration { return time.Minute }, Now: func() time.Time { return *now }}), store
}

// TestRecords is a random walk over what can become of requests, at two instances that
// share a store, beside a model of what was promised.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		now := time.Unix(1_000_000, 0)
		one, store := newRecords(t, &now, "one", nil)
		two, _ := newRecords(t, &now, "two", store)
		type known struct {
			since       time.Time
			fingerprint byte
			claim       *Claim
			attempted   string // before it is over
			answer      string
			lost        string
		}
		model := map[ID]*known{}
		ids := rapid.Custom(func(t *rapid.T) ID {
			return ID{rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "caller"), rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key")}
		})
		attempts := 0
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id, fingerprint := ids.Draw(t, "id"), rapid.ByteRange(0, 1).Draw(t, "fingerprint")
				claim, answer, err := rapid.SampledFrom([]*Records{one, two}).Draw(t, "instance").Begin(ctx, id, [32]byte{fingerprint})
				was := model[id]
				over := was != nil && was.claim != nil && now.Sub(was.since) >= time.Minute // its instance is gone
				switch {
				case was == nil:
					if claim == nil || claim.Lost != nil || err != nil {
						t.Fatalf("the first of its kind: %v, %v", claim, err)
					}
					model[id] = &known{since: now, fingerprint: fingerprint, claim: claim}
				case was.fingerprint != fingerprint:
					if !errors.Is(err, ErrReused) {
						t.Fatalf("another request: %v", err)
					}
				case was.claim != nil && !over:
					if !errors.Is(err, ErrRunning) {
						t.Fatalf("beside the running one: %v", err)
					}
				case was.answer != "":
					if err != nil || claim != nil || string(answer) != was.answer {
						t.Fatalf("%s, %v, want %q", answer, err, was.answer)
					}
				default:
					want := was.lost
					if over {
						want = was.attempted
					}
					if err != nil || string(claim.Lost) != want {
						t.Fatalf("after one that was lost: %v, %v, want %q", claim, err, want)
					}
					was.claim, was.since, was.attempted = claim, now, want
				}
			},
			"is about to be sent": func(t *rapid.T) {
				was := model[ids.Draw(t, "id")]
				if was == nil || was.claim == nil {
					t.Skip("nothing runs")
				}
				attempts++
				was.attempted = fmt.Sprint("attempt ", attempts)
				if err := was.claim.Attempting(ctx, []byte(was.attempted)); err != nil {
					t.Fatal(err)
				}
			},
			"end": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				was := model[id]
				if was == nil || was.claim == nil {
					t.Skip("nothing runs")
				}
				attempts++
				var err error
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					was.answer = fmt.Sprint(attempts)
					err = was.claim.Answered(ctx, []byte(was.answer))
				case 1:
					was.lost = fmt.Sprint(attempts)
					err = was.claim.LostTrack(ctx, []byte(was.lost))
				case 2:
					err = errors.Join(was.claim.Forget(ctx), was.claim.Answered(ctx, []byte("too late")))
					delete(model, id)
				}
				if err != nil {
					t.Fatal(err)
				}
				was.claim, was.since = nil, now
			},
			"a caller goes": func(t *rapid.T) {
				gone := rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "caller")
				if err := one.Forget(ctx, gone); err != nil {
					t.Fatal(err)
				}
				for id := range model {
					if id.Caller == gone {
						delete(model, id)
					}
				}
			},
			"time passes": func(t *rapid.T) {
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

func TestRoomIsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	records, _ := newRecords(t, &now, "one", nil)
	fill := func(caller string) (n int) {
		for ; n < 1000; n++ {
			claim, _, err := records.Begin(t.Context(), ID{caller, fmt.Sprint(n)}, [32]byte{})
			if errors.Is(err, ErrFull) {
				return n
			}
			if err := claim.Answered(t.Context(), []byte("done")); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	if first, second := fill("greedy"), fill("other"); first != 100 || second != 100 {
		t.Errorf("%d records of one caller, then %d of another", first, second)
	}
	if _, answer, err := records.Begin(t.Context(), ID{"greedy", "0"}, [32]byte{}); err != nil || string(answer) != "done" {
		t.Errorf("a full store forgot: %s, %v", answer, err)
	}
	now = now.Add(TTL + time.Second)
	if n := fill("greedy"); n != 100 {
		t.Errorf("%d after a day", n)
	}
}

// TestALateOneDoesNotOverwrite: whoever took longer than a request can be held does not
// undo what was done since.
func TestALateOneDoesNotOverwrite(t *testing.T) {
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
	if err := late.Attempting(t.Context(), []byte("late")); !errors.Is(err, ErrRunning) {
		t.Errorf("it may be sent twice: %v", err)
	}
	if err := quick.Answered(t.Context(), []byte("quick")); err != nil {
		t.Fatal(err)
	}
	if _, answer, err := one.Begin(t.Context(), ID{"acme", "k"}, [32]byte{}); err != nil || string(answer) != "quick" {
		t.Errorf("%s, %v", answer, err)
	}
}

func TestOnlyOneOfManyBegins(t *testing.T) {
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
		t.Errorf("%d began", len(claims))
	}
}

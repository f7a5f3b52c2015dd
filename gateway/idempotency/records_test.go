package idempotency

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func fixed(now *time.Time) Options {
	return Options{MaxBytes: 1 << 20, Now: func() time.Time { return *now }}
}

// TestRecords is a random walk over what can become of requests, beside a model of
// what was promised.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		records := New[string, int](fixed(&now))
		type known struct {
			began       time.Time
			fingerprint byte
			claim       *Claim[string, int]
			answer      string
			lost        int
		}
		model := map[ID]*known{}
		ids := rapid.Custom(func(t *rapid.T) ID {
			return ID{rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "caller"), rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key")}
		})
		attempts := 0
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id, fingerprint := ids.Draw(t, "id"), rapid.ByteRange(0, 1).Draw(t, "fingerprint")
				claim, answer, err := records.Begin(id, [32]byte{fingerprint})
				was := model[id]
				switch {
				case was == nil:
					if claim == nil || claim.Lost != nil || err != nil {
						t.Fatalf("the first of its kind: %v, %v", claim, err)
					}
					model[id] = &known{began: now, fingerprint: fingerprint, claim: claim}
				case was.fingerprint != fingerprint:
					if !errors.Is(err, ErrReused) {
						t.Fatalf("another request: %v", err)
					}
				case was.claim != nil:
					if !errors.Is(err, ErrRunning) {
						t.Fatalf("beside the running one: %v", err)
					}
				case was.answer != "":
					if err != nil || claim != nil || *answer != was.answer {
						t.Fatalf("%v, %v, want %q", answer, err, was.answer)
					}
				default:
					if err != nil || claim.Lost == nil || *claim.Lost != was.lost {
						t.Fatalf("after a lost one: %v, %v", claim, err)
					}
					was.claim = claim
				}
			},
			"end": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				was := model[id]
				if was == nil || was.claim == nil {
					t.Skip("nothing runs")
				}
				attempts++
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					was.answer = fmt.Sprint(attempts)
					was.claim.Answered(was.answer, 100)
				case 1:
					was.lost = attempts
					was.claim.LostTrack(attempts, 10)
				case 2:
					was.claim.Forget()
					was.claim.Answered("too late", 1)
					delete(model, id)
				}
				was.claim, was.began = nil, now
			},
			"a caller goes": func(t *rapid.T) {
				gone := rapid.SampledFrom([]string{"acme", "other"}).Draw(t, "caller")
				records.Keep(map[string]bool{"acme": gone != "acme", "other": gone != "other"})
				for id, was := range model {
					if id.Caller == gone && was.claim == nil {
						delete(model, id)
					}
				}
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "hours")) * time.Hour)
				for id, was := range model {
					if was.claim == nil && now.Sub(was.began) >= TTL {
						delete(model, id)
					}
				}
			},
			"": func(t *rapid.T) {
				records.mu.Lock()
				records.expire(now)
				records.mu.Unlock()
				if len(records.byID) != len(model) || records.order.Len() != len(model) {
					t.Fatalf("%d records, %d in order, %d in the model", len(records.byID), records.order.Len(), len(model))
				}
				if len(model) == 0 && (records.bytes != 0 || len(records.byCaller) != 0) {
					t.Fatalf("%d bytes of nothing, %v", records.bytes, records.byCaller)
				}
			},
		})
	})
}

func TestRoomIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	records := New[string, int](Options{MaxBytes: 20_000, Now: func() time.Time { return now }})
	fill := func(caller string) (n int) {
		for ; n < 1000; n++ {
			claim, _, err := records.Begin(ID{caller, fmt.Sprint(n)}, [32]byte{})
			if errors.Is(err, ErrFull) {
				return n
			}
			claim.Answered("done", 100)
		}
		return n
	}
	first, second := fill("greedy"), fill("other")
	if first < 10 || second < first-1 {
		t.Errorf("%d records of one caller, then %d of another", first, second)
	}
	if _, answer, err := records.Begin(ID{"greedy", "0"}, [32]byte{}); err != nil || *answer != "done" {
		t.Errorf("a full store forgot: %v, %v", answer, err)
	}
	now = now.Add(TTL)
	if n := fill("greedy"); n < first {
		t.Errorf("%d after a day, %d before", n, first)
	}
}

func TestOnlyOneOfManyBegins(t *testing.T) {
	now := time.Unix(0, 0)
	records := New[string, int](fixed(&now))
	var wg sync.WaitGroup
	claims := make(chan *Claim[string, int], 100)
	for range 100 {
		wg.Go(func() {
			if claim, _, err := records.Begin(ID{"acme", "k"}, [32]byte{}); err == nil {
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

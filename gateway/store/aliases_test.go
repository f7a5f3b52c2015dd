package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAlias_PutAndDelete(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		before, _ := s.Revision(t.Context())
		a, err := put(t, s, "bot", "klen:1", 0)
		if err != nil || a.Version != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, version := range []int64{0, 2} {
			if _, err := put(t, s, "bot", "klen:2", version); !errors.Is(err, ErrVersionMismatch) || errors.Is(err, ErrUnavailable) {
				t.Errorf("version %d: %v", version, err)
			}
		}
		if _, err := put(t, s, "klen:1", "krosai:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "other", "klen:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "krosai:1", "bot", 0); !errors.Is(err, ErrCycle) {
			t.Errorf("a cycle: %v", err)
		}
		r, err := s.Routes(t.Context())
		if err != nil || r.Revision <= before {
			t.Errorf("%+v, %v", r, err)
		}
		for _, a := range r.Aliases {
			if a.Target != "krosai:1" {
				t.Errorf("%+v", a)
			}
		}
		if found, err := s.DeleteAlias(t.Context(), "bot", 1, by); !found || !errors.Is(err, ErrVersionMismatch) {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), "bot", 2, by); !found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), "bot", 0, by); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		trail, err := s.AuditLog(t.Context(), "alias bot")
		if err != nil || len(trail) != 2 || trail[0].Step != "put" || trail[1].Step != "delete" || trail[1].KeyID != "acme" {
			t.Errorf("%+v, %v", trail, err)
		}
	})
}

// TestPutAlias_ConcurrentWritesOfOneVersion: one of them succeeds.
func TestPutAlias_ConcurrentWritesOfOneVersion(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		stores := []*Store{open(t, url), nil}
		if stores[1] = stores[0]; stores[0].Shared() {
			stores[1] = open(t, url)
		}
		for version := range int64(3) {
			var won atomic.Int64
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					_, err := put(t, stores[i%2], "bot", fmt.Sprint("klen:", i), version)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, ErrVersionMismatch) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("version %d: %d writes succeeded", version, won.Load())
			}
		}
	})
}

// TestPutAlias_ConcurrentWritesStoreNoChain: whatever is written concurrently, no alias
// points to another one.
func TestPutAlias_ConcurrentWritesStoreNoChain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		for range 20 {
			var wg sync.WaitGroup
			for _, pair := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}, {"bot", "a"}} {
				wg.Go(func() {
					_, _ = put(t, s, pair[0], pair[1], 0) // some are cycles
				})
			}
			wg.Wait()
			r, err := s.Routes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, a := range r.Aliases {
				names[a.Name] = true
			}
			for _, a := range r.Aliases {
				if names[a.Target] {
					t.Fatalf("%s points to %s, which is an alias", a.Name, a.Target)
				}
				if _, err := s.DeleteAlias(t.Context(), a.Name, 0, by); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

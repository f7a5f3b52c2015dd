package store

import (
	"context"
	"testing"
	"time"
)

// TestLock_SharedAndExclusive: a lock has any number of shared holders or one exclusive
// holder; with PostgreSQL, among all instances.
func TestLock_SharedAndExclusive(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		one := open(t, url)
		other := one
		if one.Shared() {
			other = open(t, url)
		}
		soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		first, err := one.Lock(t.Context(), "a", false)
		if err != nil {
			t.Fatal(err)
		}
		second, err := other.Lock(t.Context(), "a", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Lock(soon, "a", true); err == nil {
			t.Error("exclusive beside two shared holders")
		}
		unrelated, err := other.Lock(t.Context(), "b", true)
		if err != nil {
			t.Errorf("a lock of another name: %v", err)
		} else {
			unrelated()
		}
		first()
		second()
		exclusive, err := one.Lock(t.Context(), "a", true)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			release, err := other.Lock(t.Context(), "a", false)
			if err == nil {
				release()
			}
			got <- err
		}()
		select {
		case err := <-got:
			t.Errorf("shared beside an exclusive holder: %v", err)
		case <-time.After(50 * time.Millisecond): // it waits
		}
		exclusive()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if len(one.locks.byName) != 0 {
			t.Errorf("locks that nobody uses remain: %v", one.locks.byName)
		}
	})
}

// Package waittest waits in tests for what other goroutines and processes do. A test that
// waits through it depends on what happens, and not on how quickly: the only limit is
// [HangGuard], which is far longer than a loaded machine needs.
package waittest

import "time"

// HangGuard ends a wait that would never end. It is no measure of anything: a test that
// passes does not come near it.
const HangGuard = 2 * time.Minute

// interval is the time between two looks at a condition.
const interval = 5 * time.Millisecond

// TB is the part of testing.TB that waiting needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Until polls condition until it is true, and fails the test if that takes longer than
// HangGuard. what names the condition in the failure.
func Until(t TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(HangGuard); !condition(); time.Sleep(interval) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", HangGuard, what)
		}
	}
}

// Receive returns the next value of c, and fails the test if that takes longer than
// HangGuard. what names the value in the failure.
func Receive[V any](t TB, what string, c <-chan V) V {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(HangGuard):
		t.Fatalf("waited %s for %s", HangGuard, what)
		panic("unreachable")
	}
}

package gateway

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

type deadlineKey struct{}

func newDeadline(in time.Duration) *deadline {
	return &deadline{Context: context.WithValue(context.Background(), deadlineKey{}, "value"), at: time.Now().Add(in)}
}

func TestDeadlineEnds(t *testing.T) {
	d := newDeadline(20 * time.Millisecond)
	if at, ok := d.Deadline(); !ok || at != d.at || d.Err() != nil || d.Value(deadlineKey{}) != "value" {
		t.Fatal("not a context with a deadline and its parent's values")
	}
	<-d.Done()
	if d.Err() != context.DeadlineExceeded || d.Value(deadlineKey{}) != "value" {
		t.Errorf("%v after it", d.Err())
	}
	if d := newDeadline(-time.Second); d.Err() != context.DeadlineExceeded {
		t.Errorf("%v of one that nobody waited for", d.Err())
	}
}

func TestDeadlineIsEnded(t *testing.T) {
	for name, waited := range map[string]bool{"nobody waits": false, "somebody waits": true} {
		d := newDeadline(5 * time.Millisecond)
		if waited {
			d.Done()
		}
		d.end()
		d.end()
		for time.Now().Before(d.at) {
			time.Sleep(time.Millisecond) // it stays as it ended when its time comes
		}
		if d.Err() != context.Canceled {
			t.Errorf("%s: %v", name, d.Err())
		}
		<-d.Done()
		if d.Err() != context.Canceled {
			t.Errorf("%s: %v after Done", name, d.Err())
		}
	}
}

// TestDeadlineChildren: what is made from it ends with it, without a goroutine each.
func TestDeadlineChildren(t *testing.T) {
	d := newDeadline(time.Hour)
	before := runtime.NumGoroutine()
	var children []context.Context
	for range 100 {
		child, cancel := context.WithCancel(context.WithValue(d, deadlineKey{}, "nearer"))
		defer cancel()
		children = append(children, child)
	}
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	d.end()
	for _, child := range children {
		<-child.Done()
		if child.Err() != context.Canceled || child.Value(deadlineKey{}) != "nearer" {
			t.Fatal(child.Err())
		}
	}
}

// TestFirmDeadline: its parent's end is not its own, neither before nor after somebody waits.
func TestFirmDeadline(t *testing.T) {
	parent, leave := context.WithCancel(context.WithValue(context.Background(), deadlineKey{}, "value"))
	d := &deadline{Context: parent, at: time.Now().Add(time.Hour), firm: true}
	leave()
	for _, waited := range []bool{false, true} {
		if d.Err() != nil || d.Value(deadlineKey{}) != "value" {
			t.Errorf("waited %t: %v", waited, d.Err())
		}
		select {
		case <-d.Done():
			t.Errorf("waited %t: it has ended", waited)
		default:
		}
		child, stop := context.WithCancel(d)
		if child.Err() != nil {
			t.Errorf("waited %t: a child has ended: %v", waited, child.Err())
		}
		stop()
	}
	d.end()
	if <-d.Done(); d.Err() != context.Canceled {
		t.Error(d.Err())
	}
	d = &deadline{Context: parent, at: time.Now().Add(5 * time.Millisecond), firm: true}
	if <-d.Done(); d.Err() != context.DeadlineExceeded {
		t.Error(d.Err())
	}
}

func TestDeadlineIsSafeForConcurrentUse(t *testing.T) {
	d := newDeadline(time.Hour)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { <-d.Done() })
		wg.Go(func() { _, _ = d.Err(), d.Value(deadlineKey{}) })
	}
	d.end()
	wg.Wait()
}

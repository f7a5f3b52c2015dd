package gateway

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// TestPatience: a deadline comes when somebody looks after its time, once; one that is set
// anew in time does not, and one that has come is lifted by the next.
func TestPatience(t *testing.T) {
	var own time.Time // the connection's
	now := time.Now()
	p := patience{began: now, set: func(at time.Time) error { own = at; return nil }}
	f := func(at, want time.Time) {
		t.Helper()
		if p.look(at); !own.Equal(want) {
			t.Errorf("at %s the connection's deadline is %s, want %s", at.Sub(now), own, want)
		}
	}
	give := func(until time.Time) {
		t.Helper()
		if err := p.give(until); err != nil {
			t.Fatal(err)
		}
	}
	f(now, time.Time{}) // none was set
	give(now.Add(10 * time.Second))
	f(now.Add(9*time.Second), time.Time{})
	give(now.Add(20 * time.Second))
	f(now.Add(19*time.Second), time.Time{})
	f(now.Add(20*time.Second), past)
	f(now.Add(21*time.Second), past)
	give(now.Add(30 * time.Second))
	f(now.Add(29*time.Second), time.Time{})
	give(time.Time{})
	f(now.Add(time.Hour), time.Time{})
}

// TestPatienceIsNotMixedUp: a deadline that comes while another one is set never stays.
func TestPatienceIsNotMixedUp(t *testing.T) {
	for range 2000 {
		var own time.Time
		p := patience{began: time.Now(), set: func(at time.Time) error { own = at; return nil }}
		_ = p.give(time.Unix(1, 0)) // it cannot fail
		var wg sync.WaitGroup
		wg.Go(func() { p.look(time.Now()) })
		wg.Go(func() { _ = p.give(time.Now().Add(time.Hour)) }) // it cannot fail
		wg.Wait()
		if !own.IsZero() {
			t.Fatalf("the deadline that was over stays: %s", own)
		}
	}
}

// TestDeadlinesOfConnections: both ways, of a real one, within a glance or two, and lifted
// again.
func TestDeadlinesOfConnections(t *testing.T) {
	b := newBench(t, "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guarded := NewServer(b.gateway).Guard(listener)
	defer guarded.Close()
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := guarded.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d, %v", n, err)
	}
	waitFor(t, "nothing to be written any more", func() bool {
		_, err := c.Write([]byte("x"))
		return errors.Is(err, os.ErrDeadlineExceeded)
	})
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("y")); err != nil {
		t.Error(err)
	}
	if _, err := peer.Write([]byte("z")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

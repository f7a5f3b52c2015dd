package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/normalize"
)

// connectionCount counts the connections of a server.
type connectionCount struct{ opened, closed atomic.Int32 }

// countConnections counts the connections of a server that has not started yet.
func countConnections(s *httptest.Server) *connectionCount {
	n := &connectionCount{}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			n.opened.Add(1)
		case http.StateClosed:
			n.closed.Add(1)
		}
	}
	return n
}

// okServer answers every request with {}.
func okServer(t *testing.T) (base string, connections *connectionCount) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // whatever it is
		fmt.Fprint(w, "{}")
	}))
	connections = countConnections(server)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, connections
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

func TestConnections_ReadsReuseOnePerCredential(t *testing.T) {
	base, connections := okServer(t)
	c := newTestClient(t, base)
	for range 3 {
		for _, cred := range []adapters.Credential{acme, other} {
			if _, err := get(c, cred); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := connections.opened.Load(); n != 2 {
		t.Errorf("%d connections for two credentials", n)
	}
}

func TestConnections_EachWriteHasItsOwn(t *testing.T) {
	base, connections := okServer(t)
	c := newTestClient(t, base)
	for n := int32(1); n <= 3; n++ {
		if _, err := post(c, acme); err != nil {
			t.Fatal(err)
		}
		if got := connections.opened.Load(); got != n {
			t.Errorf("%d connections for %d writes", got, n)
		}
		waittest.Until(t, "the connections to be closed", func() bool { return connections.closed.Load() == n })
	}
}

// TestRoundTrip_NeverResends: net/http would send a GET again on each kept
// connection that turns out to be dead, and then on a new one.
func TestRoundTrip_NeverResends(t *testing.T) {
	const kept = 4
	var received atomic.Int32
	together := make(chan struct{})
	// Each connection answers one request, once all of them have one, and dies of the next one.
	c := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
		if !readRequest(in) {
			return
		}
		if received.Add(1) == kept {
			close(together)
		}
		<-together
		fmt.Fprint(conn, okResponse)
		if readRequest(in) {
			received.Add(1)
		}
	}))
	var wg sync.WaitGroup
	for range kept {
		wg.Go(func() {
			if _, err := get(c, acme); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	before := received.Load()
	_, err := get(c, acme)
	if sent := received.Load() - before; sent != 1 || normalize.KindOf(err) != normalize.KindReset || !err.(*normalize.Error).StaleConnection {
		t.Errorf("sent %d times: %v", sent, err)
	}
	// The other connections are as old, and are not tried.
	if _, err := get(c, acme); err != nil {
		t.Errorf("after a dead connection: %v", err)
	}
}

// TestRoundTrip_ResetOnFreshConnection is the backend's failure, not that of an old connection.
func TestRoundTrip_ResetOnFreshConnection(t *testing.T) {
	c := newTestClient(t, "http://"+listen(t, func(_ net.Conn, in *bufio.Reader) { readRequest(in) }))
	for _, ask := range []func(*Client, adapters.Credential) (adapters.Response, error){get, post} {
		if _, err := ask(c, acme); normalize.KindOf(err) != normalize.KindReset || err.(*normalize.Error).StaleConnection {
			t.Errorf("%v", err)
		}
	}
}

// TestRoundTrip_WriteAfterTheServerHungUp: whether a write into a dead connection is
// done was unknown, so there is none to write into.
func TestRoundTrip_WriteAfterTheServerHungUp(t *testing.T) {
	var writes atomic.Int32
	c := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err == nil && r.Method == "POST" {
			writes.Add(1)
		}
		fmt.Fprint(conn, okResponse) // and hangs up without a word
	}))
	for n := int32(1); n <= 10; n++ {
		if _, err := get(c, acme); err != nil && normalize.KindOf(err) != normalize.KindReset {
			t.Fatal(err)
		}
		if _, err := post(c, acme); err != nil || writes.Load() != n {
			t.Errorf("%v, %d writes of %d", err, writes.Load(), n)
		}
	}
}

func TestRoundTrip_LargeWriteIntoADyingConnection(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	c := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
		_, _ = in.ReadString('\n')
		_ = conn.(*net.TCPConn).CloseWrite()
		<-done
	}))
	_, err := send(t.Context(), c, adapters.Request{Op: adapters.OpUpdate, Method: "PUT", Path: "/", Body: []byte(strings.Repeat("x", 4<<20))})
	if normalize.KindOf(err) != normalize.KindReset {
		t.Errorf("%v", err)
	}
}

// TestStrayResponse: what a backend sends unasked reaches no other credential, and
// the connection is closed.
func TestStrayResponse(t *testing.T) {
	const stray = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
	for name, together := range map[string]bool{"with the response": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			idle, closed := make(chan struct{}), make(chan struct{})
			var connections atomic.Int32
			c := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
				if connections.Add(1) > 1 {
					for readRequest(in) {
						fmt.Fprint(conn, okResponse)
					}
					return
				}
				defer close(closed)
				readRequest(in)
				if together {
					fmt.Fprint(conn, okResponse+stray)
				} else {
					fmt.Fprint(conn, okResponse)
					<-idle
					fmt.Fprint(conn, stray)
				}
				if readRequest(in) {
					t.Error("the connection was used again")
				}
			}))
			for i, cred := range []adapters.Credential{acme, other, acme} {
				if i == 2 {
					close(idle)
					<-closed
				}
				if r, err := get(c, cred); err != nil || r.Status != 200 {
					t.Errorf("request %d: %v, %d", i, err, r.Status)
				}
			}
		})
	}
}

// TestRoundTrip_ResponsesAreNeverMixedUp: with callers that leave, a backend that
// hangs up and one that is slow, nobody gets another one's response, nor a piece of it.
func TestRoundTrip_ResponsesAreNeverMixedUp(t *testing.T) {
	c := newTestClient(t, startServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch rand.N(8) {
		case 0:
			w.Header().Set("Connection", "close")
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			time.Sleep(rand.N(4 * time.Millisecond))
		}
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
		if rand.N(8) == 0 {
			_ = http.NewResponseController(w).Flush() // in pieces
			time.Sleep(rand.N(4 * time.Millisecond))
		}
		fmt.Fprint(w, ".")
	}))
	var good, left atomic.Int32
	var wg sync.WaitGroup
	for who := range 16 {
		wg.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if rand.N(4) == 0 {
					time.AfterFunc(rand.N(3*time.Millisecond), cancel)
				}
				req := adapters.Request{Op: adapters.OpGet, Credential: acme, Method: "GET", Path: fmt.Sprintf("/%d/%d", who, n)}
				if n%2 == 0 {
					req.Op, req.Method, req.Body = adapters.OpUpdate, "PUT", []byte(fmt.Sprint(who*n))
				}
				r, err := send(ctx, c, req)
				switch kind := normalize.KindOf(err); {
				case err == nil:
					good.Add(1)
					if want := req.Path + " " + string(req.Body) + "."; string(r.Body) != want {
						t.Errorf("%q, want %q", r.Body, want)
					}
				case kind == normalize.KindCanceled:
					left.Add(1)
				case kind != normalize.KindReset && kind != normalize.KindCut:
					t.Errorf("%v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	t.Logf("%d were answered, %d left", good.Load(), left.Load())
}

func TestKeep_ClosesTheConnectionsOfOtherCredentials(t *testing.T) {
	base, connections := okServer(t)
	c := newTestClient(t, base)
	for _, cred := range []adapters.Credential{acme, other} {
		if _, err := get(c, cred); err != nil {
			t.Fatal(err)
		}
	}
	c.Keep(map[string]bool{acme.ID(): true})
	waittest.Until(t, "the connections to be closed", func() bool { return connections.closed.Load() == 1 })
	if _, err := get(c, acme); err != nil || connections.opened.Load() != 2 {
		t.Errorf("%v; the connection that was to be kept is gone", err)
	}
	if _, err := get(c, other); err != nil || connections.opened.Load() != 3 {
		t.Errorf("%v", err)
	}
}

// TestClose_DuringARequest: the connection of a request that ends after Close is closed.
func TestClose_DuringARequest(t *testing.T) {
	release, running := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			close(running)
			<-release
		}
		fmt.Fprint(w, "{}")
	}))
	connections := countConnections(server)
	server.Start()
	defer server.Close()
	c := newTestClient(t, server.URL)
	done := make(chan error, 1)
	go func() {
		_, err := get(c, acme)
		done <- err
	}()
	<-running
	c.Close()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	waittest.Until(t, "the connections to be closed", func() bool { return connections.closed.Load() == 1 })
	// A request of a configuration that is just being replaced still works.
	if _, err := post(c, acme); err != nil {
		t.Error(err)
	}
	waittest.Until(t, "the connections to be closed", func() bool { return connections.closed.Load() == 2 })
}

// TestIdleConnections_AreClosedAfterTheTimeout: credentials that are not used cost
// no goroutine.
func TestIdleConnections_AreClosedAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const credentials = 1000
		c := newPipedClient(t, "http://backend.example", "", func(conn net.Conn) {
			for in := bufio.NewReader(conn); readRequest(in); {
				fmt.Fprint(conn, okResponse)
			}
		})
		before := runtime.NumGoroutine()
		for i := range credentials {
			if _, err := get(c, adapters.NewCredential(secret.New(fmt.Sprint(i)))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n < credentials {
			t.Errorf("%d goroutines: no connection is kept", n)
		}
		time.Sleep(idleTimeout + time.Second)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

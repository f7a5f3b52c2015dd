package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// eventually waits for what the other side of a connection has done.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

// waiting are the connections that wait, as long as nobody takes or closes them.
func waiting(c *Client) []*conn {
	c.idle.mu.Lock()
	defer c.idle.mu.Unlock()
	return slices.Clone(c.idle.waiting)
}

// useless: none of those that wait can be used.
func useless(c *Client) bool { return !slices.ContainsFunc(waiting(c), quiet) }

func counted(s *httptest.Server) *atomic.Int32 {
	var connections atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	return &connections
}

func post(c *Client) error {
	return c.Exchange(context.Background(), &adapters.Request{Op: adapters.OpCreate, Method: "POST", Path: "/agents", Body: []byte("{}"), Decode: func(adapters.Response) error { return nil }})
}

// TestConnectionThatWasHungUp is not written to: whether a write that goes into it is done
// could not be told. Whatever the protocol, the server hangs up as servers do.
func TestConnectionThatWasHungUp(t *testing.T) {
	var received atomic.Int32
	here := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // whatever it is
		received.Add(1)
		fmt.Fprint(w, "{}")
	})
	_, _, trusting := backends(t)
	for _, start := range []func(*httptest.Server){(*httptest.Server).Start, (*httptest.Server).StartTLS} {
		received.Store(0)
		server := httptest.NewUnstartedServer(here)
		connections := counted(server)
		start(server)
		c := client(t, server.URL, trusting)
		for range 3 {
			if err := post(c); err != nil {
				t.Fatal(err)
			}
		}
		if n := connections.Load(); n != 1 {
			t.Errorf("%d connections for requests one after another", n)
		}
		server.CloseClientConnections()
		eventually(t, "hung up", func() bool { return useless(c) })
		if err := post(c); err != nil || received.Load() != 4 || connections.Load() != 2 {
			t.Errorf("%v; %d requests on %d connections", err, received.Load(), connections.Load())
		}
		server.Close()
	}
}

// TestAnswerToNothing: what a backend says unasked is not taken for the next answer.
func TestAnswerToNothing(t *testing.T) {
	for _, together := range []bool{true, false} {
		const right, wrong = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
		unasked := make(chan struct{})
		var connections atomic.Int32
		c := client(t, "http://"+speaks(t, func(conn net.Conn, in *bufio.Reader) {
			first := connections.Add(1) == 1
			for took(in) {
				switch {
				case first && together:
					fmt.Fprint(conn, right+wrong)
					close(unasked)
				case first:
					fmt.Fprint(conn, right)
					<-unasked
					fmt.Fprint(conn, wrong)
				default:
					fmt.Fprint(conn, right)
				}
			}
		}))
		status := 0
		ask := func() {
			if err := c.Exchange(t.Context(), &adapters.Request{Method: "GET", Path: "/", Decode: func(r adapters.Response) error { status = r.Status; return nil }}); err != nil || status != 200 {
				t.Errorf("%v, %d", err, status)
			}
		}
		ask()
		if !together {
			close(unasked)
			eventually(t, "came", func() bool { return useless(c) })
		}
		ask()
	}
}

// TestAnswerToNothingInTLS: what came with the answer is in a buffer of TLS, where neither the
// reader nor the socket shows it.
func TestAnswerToNothingInTLS(t *testing.T) {
	_, secure, trusting := backends(t)
	for name, behind := range map[string]func(*tls.Conn){
		"an answer":  func(c *tls.Conn) { fmt.Fprint(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") },
		"a farewell": func(c *tls.Conn) { _ = c.CloseWrite() },
	} {
		var first atomic.Bool
		first.Store(true)
		c := client(t, "https://"+speaks(t, func(conn net.Conn, _ *bufio.Reader) {
			together := &together{Conn: conn}
			secured := tls.Server(together, secure.TLS)
			for in := bufio.NewReader(secured); took(in); {
				extra := first.Swap(false)
				together.hold = extra
				fmt.Fprint(secured, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				if extra {
					behind(secured)
					together.send()
				}
			}
		}), trusting)
		for n := range 3 {
			status := 0
			if err := c.Exchange(t.Context(), &adapters.Request{Method: "PUT", Path: "/", Body: []byte("{}"), Decode: func(r adapters.Response) error { status = r.Status; return nil }}); err != nil || status != 200 {
				t.Errorf("%s: request %d: %v, %d", name, n, err, status)
			}
		}
	}
}

// together holds what is written back, to send it in one piece.
type together struct {
	net.Conn
	hold bool
	held []byte
}

func (c *together) Write(p []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// SetWriteDeadline does nothing: TLS sets one that is over once it has said farewell.
func (c *together) SetWriteDeadline(time.Time) error { return nil }

func (c *together) send() {
	c.hold = false
	_, _ = c.Conn.Write(c.held) // who reads will tell
}

// TestAnswersAreOnesOwn: with callers that leave, a backend that hangs up and one that is
// slow, nobody gets another one's answer, nor a piece of it.
func TestAnswersAreOnesOwn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch rand.N(8) {
		case 0:
			w.Header().Set("Connection", "close")
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			time.Sleep(rand.N(4 * time.Millisecond)) // as vendors do
		}
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
		if rand.N(8) == 0 {
			_ = http.NewResponseController(w).Flush() // in pieces
			time.Sleep(rand.N(4 * time.Millisecond))
		}
		fmt.Fprint(w, ".")
	}))
	defer server.Close()
	c := client(t, server.URL)
	var good, left atomic.Int32
	var wg sync.WaitGroup
	for who := range 16 {
		wg.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				if rand.N(4) == 0 {
					time.AfterFunc(rand.N(3*time.Millisecond), cancel)
				}
				path, body := fmt.Sprintf("/%d/%d", who, n), fmt.Sprint(who*n)
				err := c.Exchange(ctx, &adapters.Request{Method: "PUT", Path: path, Body: []byte(body), Decode: func(r adapters.Response) error {
					if want := path + " " + body + "."; string(r.Body) != want {
						t.Errorf("%q, want %q", r.Body, want)
					}
					return nil
				}})
				switch kind := normalize.KindOf(err); {
				case err == nil:
					good.Add(1)
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
	if good.Load() == 0 || left.Load() == 0 {
		t.Errorf("%d were answered, %d left", good.Load(), left.Load())
	}
}

// TestIdleConnectionsAreClosed after their time, and the younger ones are kept.
func TestIdleConnectionsAreClosed(t *testing.T) {
	together := make(chan struct{})
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) == 3 {
			close(together)
		}
		<-together
	}))
	var closed atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := client(t, server.URL)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := get(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kept := waiting(c)
	c.idle.mu.Lock()
	kept[0].since = kept[0].since.Add(-idleFor)
	c.idle.mu.Unlock()
	c.idle.sweep()
	eventually(t, "closed", func() bool { return closed.Load() == 1 })
	if n := len(waiting(c)); n != 2 {
		t.Errorf("%d are kept", n)
	}
	// Nor is one used that the sweep has not come to yet.
	c.idle.mu.Lock()
	kept[2].since = kept[2].since.Add(-idleFor)
	c.idle.mu.Unlock()
	if taken := c.idle.take(time.Now(), time.Now().Add(time.Minute)); taken != kept[1] {
		t.Errorf("took %p of %p", taken, kept)
	} else {
		c.idle.put(taken)
	}
	// Nor does one wait on that the backend has hung up.
	server.CloseClientConnections()
	eventually(t, "swept", func() bool { return len(waiting(c)) == 0 })
}

// Package misbehaving puts a server in front of an emulated provider that breaks the rules of
// HTTP, as a broken proxy or a hostile provider does: it answers a request twice or late,
// drops connections that it kept, sends invalid status lines, or compresses far too much.
//
// It knows no provider and nothing of the gateway. Begin with [Start].
package misbehaving

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Behaviour writes the response to a connection's request, which is the first, second, … of the
// connection. It returns false to close the connection.
type Behaviour func(conn net.Conn, request int, response []byte) (keep bool)

// Properly answers each request as HTTP says.
func Properly(conn net.Conn, _ int, response []byte) bool {
	_, err := conn.Write(response)
	return err == nil
}

// Twice answers each request, and again after that time, whatever the connection is used for
// by then.
func Twice(after time.Duration) Behaviour {
	return func(conn net.Conn, _ int, response []byte) bool {
		if _, err := conn.Write(response); err != nil {
			return false
		}
		time.Sleep(after)
		_, err := conn.Write(response)
		return err == nil
	}
}

// DeadWhenKept answers the first request of each connection, and resets the connection when a
// second one arrives.
func DeadWhenKept(conn net.Conn, request int, response []byte) bool {
	if request == 1 {
		_, err := conn.Write(response)
		return err == nil
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the connection is reset in any case
	}
	return false
}

// StatusLine replaces the status line of each response, for example by "HTTP/1.1 020 OK".
func StatusLine(line string) Behaviour {
	return func(conn net.Conn, _ int, response []byte) bool {
		_, rest, _ := bytes.Cut(response, []byte("\r\n"))
		_, err := fmt.Fprintf(conn, "%s\r\n%s", line, rest)
		return err == nil
	}
}

// Server is a misbehaving server. Close it.
type Server struct {
	URL      string
	listener net.Listener
	inner    http.Handler
	respond  Behaviour

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once closed
	wg    sync.WaitGroup
}

// Start serves the handler on loopback, in its own way.
func Start(inner http.Handler, respond Behaviour) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + l.Addr().String(), listener: l, inner: inner, respond: respond, conns: map[net.Conn]bool{}}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

// Close closes all connections and waits until their requests have ended.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	closed := s.conns == nil
	if !closed {
		s.conns[conn] = true
	}
	s.mu.Unlock()
	in := bufio.NewReader(conn)
	for request := 1; !closed; request++ {
		r, err := http.ReadRequest(in)
		if err != nil || !s.respond(conn, request, s.response(r)) {
			break
		}
	}
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// response returns the handler's response as it is sent.
func (s *Server) response(r *http.Request) []byte {
	recorder := httptest.NewRecorder()
	s.inner.ServeHTTP(recorder, r)
	resp := recorder.Result()
	resp.ContentLength = int64(recorder.Body.Len())
	var out bytes.Buffer
	_ = resp.Write(&out) // a buffer takes everything
	return out.Bytes()
}

// Inflated is a handler whose every response is a JSON object with the members, padded to that
// many bytes and compressed to about a thousandth of them.
func Inflated(size int, members func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return
		}
		fmt.Fprintf(z, `{%s,"padding":"`, members(r))
		chunk := strings.Repeat("x", 64<<10)
		for left := size; left > 0; left -= len(chunk) {
			if _, err := z.Write([]byte(chunk[:min(left, len(chunk))])); err != nil {
				return
			}
		}
		fmt.Fprint(z, `"}`)
		_ = z.Close()
	})
}

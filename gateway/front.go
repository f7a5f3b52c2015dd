package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// front is a connection of the public listener, as fasthttp sees it. A request whose head
// came before it answers itself, if that is answered as it was (replay.go): neither fasthttp
// nor Fiber sees it. All others it hands on, with what is known of their heads. Two of
// three requests for what is in memory would else cost more to read than to answer.
//
// It takes only a head that came by itself, whole, in one read, at a place where a request
// begins. So it has to know such a place: where all that fasthttp read was a request, which
// is answered.
//
// It is read by one goroutine, as connections are, which runs the handlers, too.
type front struct {
	net.Conn
	server  *Server
	secure  bool // it is of TLS
	between bool // all that was read before was answered: a request begins here
	came    arrival
	busy    atomic.Int32 // idle, sending or unwanted
}

// What a front does that fasthttp does not see.
const (
	idle     = iota // to fasthttp it always is
	sending         // an answer
	unwanted        // the same, and it is to be closed then
)

// arrival is what came in one read, if that may have been a head and nothing else.
type arrival struct {
	size  int // zero: it was not
	at    time.Time
	head  headHash
	state *state // that knows it
	known *understood
}

// frontListener makes fronts of the connections of a listener.
type frontListener struct {
	net.Listener
	server *Server
}

func (l frontListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if secured, ok := c.(*tls.Conn); ok {
		return &securedFront{front{Conn: c, server: l.server, secure: true, between: true}, secured}, nil
	}
	return &front{Conn: c, server: l.server, between: true}, nil
}

// securedFront is one that fasthttp knows for a TLS connection.
type securedFront struct {
	front
	secured *tls.Conn
}

// Handshake is that of TLS.
func (f *securedFront) Handshake() error { return f.secured.Handshake() }

// ConnectionState is that of TLS.
func (f *securedFront) ConnectionState() tls.ConnectionState { return f.secured.ConnectionState() }

// frontOf is the front that a connection is; nil for none.
func frontOf(c net.Conn) *front {
	switch c := c.(type) {
	case *front:
		return c
	case *securedFront:
		return &c.front
	}
	return nil
}

// Read answers what it can, and returns when something came that it cannot.
func (f *front) Read(p []byte) (int, error) {
	answered := false
	for {
		n, err := f.Conn.Read(p)
		f.came = arrival{}
		if err != nil {
			if answered && n == 0 {
				err = io.EOF // no request began: to fasthttp it may be the first that fails, and it would say so
			}
			f.between = false
			return n, err
		}
		// fasthttp's buffer is empty if there is room for all of it: what came is not the
		// rest of something.
		if len(p) == maxHeaderBytes {
			f.came = f.server.arrived(p[:n])
		}
		if f.between && f.came.known != nil {
			done, err := f.server.replayed(f, f.came)
			if err != nil {
				return 0, err
			}
			if done {
				answered = true
				continue
			}
		}
		f.between = false
		if answered { // as fasthttp does when a request begins
			err = f.SetReadDeadline(time.Now().Add(headerTimeout))
		}
		return n, err
	}
}

// hold has the connection be there until release: a server that shuts down closes those that
// are idle to fasthttp.
func (f *front) hold() { f.busy.CompareAndSwap(idle, sending) }

func (f *front) release() {
	if !f.busy.CompareAndSwap(sending, idle) {
		_ = f.Conn.Close() // there is nobody to tell
	}
}

// Close closes it, once its answer is sent.
func (f *front) Close() error {
	if f.busy.CompareAndSwap(sending, unwanted) {
		return nil
	}
	return f.Conn.Close()
}

// arrived is what is known of bytes that came.
func (s *Server) arrived(p []byte) arrival {
	if len(p) > maxHead || !bytes.HasPrefix(p, []byte("GET ")) || !bytes.HasSuffix(p, []byte("\r\n\r\n")) {
		return arrival{}
	}
	a := arrival{size: len(p), at: time.Now(), head: headOf(p), state: s.gateway.state.Load()}
	a.known = a.state.heads.find(a.head, a.at)
	return a
}

// handed is what came of the request that a handler has now, if all that came is this
// request: then the next one begins where it ended.
func (f *front) handed(header *fasthttp.RequestHeader) arrival {
	came := f.came
	f.came = arrival{}
	if came.size == 0 || came.size != headSize(header) {
		return arrival{}
	}
	f.between = true
	return came
}

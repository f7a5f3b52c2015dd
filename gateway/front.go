package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// front is a connection of the public listener, as fasthttp sees it. A request whose head
// came before (heads.go) it answers itself: neither fasthttp nor Fiber sees it. All others it
// hands on. To read a request for an agent that is in memory, find its route and its key, and
// to write its answer field by field costs as much as all else that is done for it.
//
// It takes only a head that came by itself, whole, in one read, at a place where a request
// begins. So it has to know such a place: the beginning, and where all that fasthttp read was
// one request, which is answered.
//
// It is read by one goroutine, as connections are, which runs the handlers, too.
type front struct {
	net.Conn
	guarded *guardedConn // below it; nil: its listener is not guarded
	server  *Server
	secure  bool      // it is of TLS
	between bool      // all that was read before was answered: a request begins here
	began   time.Time // when the request began to come that no handler has yet; zero: it is not known
	came    arrival
	busy    atomic.Int32 // idle, sending or unwanted

	exchange exchange // the one that it answers
}

// What a front does that fasthttp does not see.
const (
	idle     = iota // as it may be to fasthttp all the time
	sending         // an answer
	unwanted        // the same, and it is to be closed then
)

// arrival is what came in one read, if that may have been a head and nothing else.
type arrival struct {
	size  int // zero: it was not
	at    time.Time
	seen  glimpse
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
		f := &securedFront{front{secure: true}, secured}
		f.begin(c, secured.NetConn(), l.server)
		return f, nil
	}
	return newFront(c, l.server), nil
}

func newFront(c net.Conn, s *Server) *front {
	f := &front{}
	f.begin(c, c, s)
	return f
}

// begin makes it the front of a connection, which tcp is below.
func (f *front) begin(c, tcp net.Conn, s *Server) {
	f.Conn, f.server, f.between, f.began = c, s, true, time.Now()
	f.guarded, _ = tcp.(*guardedConn)
}

// waits says whether it waits for a request after one that it answered.
func (f *front) waits(is bool) {
	if f.guarded != nil {
		f.guarded.waits.Store(is)
	}
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
		if answered {
			f.waits(false)
		}
		if err != nil {
			if answered && n == 0 {
				err = io.EOF // no request began: fasthttp would say that its first one failed
			}
			f.between = false
			return n, err
		}
		// fasthttp's buffer is empty if there is room for all of it: what came is not the
		// rest of something.
		if len(p) == maxHeaderBytes {
			f.came = f.server.arrived(p[:n])
		}
		if !f.between || f.came.known == nil {
			if f.between && (answered || f.began.IsZero()) {
				f.began = time.Now()
			}
			f.between = false
			if answered { // as fasthttp does when a request begins
				err = f.SetReadDeadline(f.began.Add(headerTimeout))
			}
			return n, err
		}
		err = f.answer(f.came)
		f.came = arrival{} // an idle connection holds on to nothing
		if err != nil {
			return 0, io.EOF // it has its record: fasthttp would make another one
		}
		answered = true
		f.waits(true)
	}
}

// answer answers a request whose head is known. It fails if the connection does, or with
// io.EOF if that was its last answer.
func (f *front) answer(came arrival) error {
	s := f.server
	x := &f.exchange
	defer func() { *x = exchange{} }() // as it was before
	x.began, x.state, x.base = came.at, came.state, context.Background()
	x.method, x.secure, x.form, x.replays = http.MethodGet, f.secure, came.known.form, true
	x.identify(came.seen.ids)
	f.hold()
	defer f.release()
	s.start(x)
	if err := s.known(x, came.known); err != nil {
		s.refuse(x, err)
	}
	room := answers.Get().(*[]byte)
	defer answers.Put(room)
	head, body := (*room)[:0], x.body
	if x.replay != nil {
		head, x.status = append(head, x.replay.head...), x.replay.status
	} else {
		head, body, x.status = x.answer.appendHead(head, x.form, x.cors)
	}
	if x.served == nil {
		x.served = came.known.served.Of(x.measured(x.status), s.gateway.telemetry.Served)
	}
	x.ended = time.Now()
	last := s.leaving.Load()
	head = s.appendOwn(head, x, last)
	s.end(x)
	if err := f.send(head, body, x.ended); err != nil {
		return err
	}
	if last {
		return io.EOF
	}
	return f.SetReadDeadline(x.ended.Add(idleTimeout))
}

// known answers a request whose head is known, as those that come by a route are.
func (s *Server) known(x *exchange, u *understood) (err error) {
	defer s.recovered(x, &err)
	running := s.gateway.running.Add(1)
	defer s.gateway.running.Add(-1)
	if err := s.admit(x, running); err != nil {
		return err
	}
	x.route, x.cors = u.route.name, x.state.cors()
	return s.serve(x, u)
}

// hold has the connection be there until release: a server that shuts down closes those that
// to fasthttp are idle.
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
	seen, ok := glimpseOf(p)
	if !ok {
		return arrival{}
	}
	a := arrival{size: len(p), at: time.Now(), seen: seen, state: s.gateway.state.Load()}
	a.known = a.state.heads.find(seen.hash, a.at)
	return a
}

// handed is the head of the request that a handler has now, if all that came is this request:
// then the next one begins where it ended.
func (f *front) handed(header *fasthttp.RequestHeader) headHash {
	came := f.came
	f.came, f.began = arrival{}, time.Time{}
	if came.size == 0 || came.size != headSize(header) {
		return headHash{}
	}
	f.between = true
	return came.seen.hash
}

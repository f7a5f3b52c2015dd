package live

import (
	"context"
	"net"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server on loopback for this process: every name is this
// machine's, but those that were taken away.
var names nameServer

type nameServer struct {
	mu   sync.Mutex
	gone map[string]bool
}

// serve starts it, for the rest of the process, in place of the machine's own.
func (n *nameServer) serve() error {
	n.gone = map[string]bool{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := conn.LocalAddr().String()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", address)
	}}
	go n.answer(conn)
	return nil
}

func (n *nameServer) take(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone[name+"."] = true
}

// answer answers until the process ends.
func (n *nameServer) answer(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buf[:size]) != nil || len(query.Questions) != 1 {
			continue
		}
		q := query.Questions[0]
		reply := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionDesired: query.RecursionDesired, RecursionAvailable: true},
			Questions: query.Questions,
		}
		n.mu.Lock()
		gone := n.gone[q.Name.String()]
		n.mu.Unlock()
		switch {
		case gone:
			reply.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			reply.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		if packed, err := reply.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from) // who asked asks again
		}
	}
}

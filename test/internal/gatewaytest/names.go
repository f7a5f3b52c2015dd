package gatewaytest

import (
	"context"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Main is a TestMain for tests with proxied providers. It makes the process resolve host
// names by a server of its own and trust the certificate of httptest.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatewaytest")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func prepare(dir string) error {
	if err := names.serve(); err != nil {
		return err
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		return err
	}
	return os.Setenv("SSL_CERT_FILE", file)
}

// names is the name server of this process. It resolves every name to loopback, except
// those that were removed.
var names nameServer

type nameServer struct {
	mu      sync.Mutex
	removed map[string]bool
}

// serve starts the server and makes it the process's default.
func (n *nameServer) serve() error {
	n.removed = map[string]bool{}
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

func (n *nameServer) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.removed[name+"."] = true
}

// answer answers queries until the process ends.
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
		removed := n.removed[q.Name.String()]
		n.mu.Unlock()
		switch {
		case removed:
			reply.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			reply.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		if packed, err := reply.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from) // the resolver repeats the query
		}
	}
}

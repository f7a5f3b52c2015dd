package upstream

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// TestRoundTrip_ContentLength: a length goes with every method that may have a
// body (RFC 9110, section 8.6); some servers refuse a POST without one.
func TestRoundTrip_ContentLength(t *testing.T) {
	var length string
	address := listen(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			length = strings.Join(append(r.Header["Content-Length"], r.TransferEncoding...), ",")
			_, _ = io.Copy(io.Discard, r.Body) // whatever it is
			fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	c := newTestClient(t, "http://"+address)
	for _, r := range []struct {
		op     adapters.Operation
		method string
		body   []byte
		want   string
	}{
		{adapters.OpList, "GET", nil, ""},
		{adapters.OpDelete, "DELETE", nil, ""},
		{adapters.OpCreate, "POST", nil, "0"},
		{adapters.OpUpdate, "PUT", []byte("{}"), "2"},
		{adapters.OpUpdate, "PATCH", []byte(strings.Repeat(" ", 100_000)), "100000"},
	} {
		_, err := send(t.Context(), c, adapters.Request{Op: r.op, Credential: acme, Method: r.method, Path: "/", Body: r.body})
		if err != nil || length != r.want {
			t.Errorf("%s with %d bytes: %v, Content-Length %q", r.method, len(r.body), err, length)
		}
	}
}

// TestRoundTrip_MessageForms has the forms of a message that HTTP/1.1 knows (RFC
// 9112, sections 6 and 7), and which of them leave a connection that can be used again.
func TestRoundTrip_MessageForms(t *testing.T) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	zipped := &strings.Builder{}
	z := gzip.NewWriter(zipped)
	fmt.Fprint(z, "hello")
	z.Close()
	for name, c := range map[string]struct {
		text   string
		hangUp bool
		want   string
		fresh  bool // the next request needs a connection of its own
		kind   normalize.Kind
	}{
		"a length":                   {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello"},
		"the end of the connection":  {text: "HTTP/1.1 200 OK\r\n\r\nhello", hangUp: true, want: "hello", fresh: true},
		"chunks":                     {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", want: "hello"},
		"chunks and trailers":        {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", want: "hello"},
		"no content":                 {text: "HTTP/1.1 204 No Content\r\n\r\n"},
		"HTTP/1.0":                   {text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello", fresh: true},
		"Connection: close":          {text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", want: "hello", fresh: true},
		"1xx responses":              {text: interim + interim + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello"},
		"gzip":                       {text: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len(), zipped), want: "hello"},
		"gzip of no content":         {text: "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"},
		"gzip of no bytes":           {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"},
		"gzip of no chunks":          {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"gzip that is none":          {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", kind: normalize.KindCut},
		"gzip that ends early":       {text: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len()-4, zipped.String()[:zipped.Len()-4]), kind: normalize.KindCut},
		"1xx responses without end":  {text: strings.Repeat(interim, 1+maxResponseHeaderBytes/len(interim)), kind: normalize.KindBadResponse},
		"two lengths":                {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", kind: normalize.KindBadResponse},
		"chunks that are none":       {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", hangUp: true, kind: normalize.KindCut},
		"an encoding nobody accepts": {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", hangUp: true, kind: normalize.KindBadResponse},
		"another protocol":           {text: "SSH-2.0-OpenSSH\r\n", kind: normalize.KindBadResponse},
		"headers cut":                {text: "HTTP/1.1 200 OK\r\nContent-Type: app", hangUp: true, kind: normalize.KindCut},
		"a body cut":                 {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", hangUp: true, kind: normalize.KindCut},
		"chunks cut":                 {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", hangUp: true, kind: normalize.KindCut},
		"a length that is none":      {text: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", kind: normalize.KindBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			client := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
				connections.Add(1)
				for readRequest(in) {
					fmt.Fprint(conn, c.text)
					if c.hangUp {
						return
					}
				}
			}))
			for range 2 {
				got, err := get(client, acme)
				if string(got.Body) != c.want || err != nil && normalize.KindOf(err) != c.kind || err == nil && c.kind != 0 {
					t.Fatalf("%q, %v", got.Body, err)
				}
			}
			if n := connections.Load(); c.kind == 0 && (n == 2) != c.fresh {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestRoundTrip_SwitchingProtocols: what follows a 101 is a bare connection, and is
// not waited for.
func TestRoundTrip_SwitchingProtocols(t *testing.T) {
	ended := make(chan error, 1)
	address := listen(t, func(conn net.Conn, in *bufio.Reader) {
		readRequest(in)
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, err := in.ReadByte()
		ended <- err
	})
	_, err := get(newTestClient(t, "http://"+address), acme)
	if failure, ok := err.(*normalize.Error); !ok || failure.Kind != normalize.KindBadResponse || failure.Status != 101 {
		t.Errorf("%v", err)
	}
	if err := <-ended; err != io.EOF {
		t.Errorf("the connection is kept: %v", err)
	}
}

// TestRoundTrip_ResponseBeforeTheRequestEnds: a backend may refuse a body that it
// has not read.
func TestRoundTrip_ResponseBeforeTheRequestEnds(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	c := newTestClient(t, "http://"+listen(t, func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			fmt.Fprint(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		}
		<-over
	}))
	r, err := send(t.Context(), c, adapters.Request{Op: adapters.OpUpdate, Method: "PUT", Path: "/", Body: make([]byte, 16<<20)})
	if err != nil || r.Status != 413 {
		t.Errorf("%v, %d", err, r.Status)
	}
}

package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// repeated is a vendor's base URL, over HTTP: it is asked once for each path, and what it said
// is said again, by a server that takes two system calls for it and makes no garbage.
func repeated(t testing.TB, vendor http.Handler) string {
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		said    = map[string][]byte{} // by the request's bytes
		open    []net.Conn
	)
	answer := func(head []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if known, ok := said[string(head)]; ok {
			return known
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Error(err)
			return nil
		}
		r.Header.Del("Accept-Encoding")
		w := httptest.NewRecorder()
		vendor.ServeHTTP(w, r)
		result := w.Result()
		var text bytes.Buffer
		fmt.Fprintf(&text, "HTTP/1.1 %s\r\n", result.Status)
		_ = result.Header.Write(&text)
		fmt.Fprintf(&text, "Content-Length: %d\r\n\r\n", w.Body.Len())
		_, _ = text.ReadFrom(w.Body)
		said[string(head)] = text.Bytes()
		return text.Bytes()
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				var room [4096]byte
				for n := 0; ; {
					more, err := c.Read(room[n:])
					if err != nil {
						if err != io.EOF {
							return
						}
						return
					}
					if n += more; !bytes.HasSuffix(room[:n], []byte("\r\n\r\n")) {
						continue
					}
					if _, err := c.Write(answer(room[:n])); err != nil {
						return
					}
					n = 0
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return "http://" + l.Addr().String()
}

// BenchmarkAnew measures an agent that its backend is asked for each time, from the request's
// bytes to the answer's.
func BenchmarkAnew(b *testing.B) {
	ask := observedServer(b, 1, 25, repeated, "krosai")
	b.ReportAllocs()
	for b.Loop() {
		if r := ask("/v1/agents/krosai:agent-1", "Cache-Control", "no-cache"); r.StatusCode() != 200 {
			b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
		}
	}
}

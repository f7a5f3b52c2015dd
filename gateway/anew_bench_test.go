package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// BenchmarkAnew measures an agent that its backend is asked for each time, from the request's
// bytes to the answer's, with HTTP over loopback to a backend that always says the same.
//
//	go test -run '^$' -bench Anew -count 10 ./gateway > new.txt && benchstat old.txt new.txt
func BenchmarkAnew(b *testing.B) {
	const unsampled = 1
	ask := observedServer(b, unsampled, 25, repeated, "krosai")
	b.ReportAllocs()
	for b.Loop() {
		if r := ask("/v1/agents/krosai:agent-1", "Cache-Control", "no-cache"); r.StatusCode() != 200 {
			b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
		}
	}
}

// repeated serves a vendor over HTTP, and is its base URL. It is asked once for each head that
// comes; what it said is said again then, without garbage.
func repeated(t testing.TB, vendor http.Handler) string {
	t.Helper()
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		said    = map[string][]byte{}
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
			t.Errorf("%q: %v", head, err)
			return nil
		}
		r.Header.Del("Accept-Encoding")
		w := httptest.NewRecorder()
		vendor.ServeHTTP(w, r)
		var text bytes.Buffer
		fmt.Fprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %d\r\n", w.Result().Status, w.Body.Len())
		_ = w.Result().Header.Write(&text) // into memory
		text.WriteString("\r\n" + w.Body.String())
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
				for n := 0; n < len(room); {
					more, err := c.Read(room[n:])
					if n += more; err != nil {
						return
					}
					if !bytes.HasSuffix(room[:n], []byte("\r\n\r\n")) {
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

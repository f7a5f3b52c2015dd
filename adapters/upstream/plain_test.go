package upstream

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/adapters"
)

// TestPlainIsAsNetHTTPHasIt: of each head that is read here, net/http says the same, to the
// field, and that its body is so long; all others are left where they are.
func TestPlainIsAsNetHTTPHasIt(t *testing.T) {
	const body = `{"a": 1}`
	first := []string{
		"HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 503 ", "HTTP/1.1 599 \xe9t\xe9",
		"HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 100 Continue", "HTTP/1.1 600 x", "HTTP/1.1 2000 OK",
		"HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 +20 OK", "http/1.1 200 OK", "HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\nX: y", "HTTP/2 200 OK", "",
	}
	length := []string{
		"Content-Length: 8", "content-length:8", "CONTENT-LENGTH: \t8 ", "Content-Length: 008", "Content-Length: 0", "Content-Length: 8", "Content-Length: 8",
		"Content-Length: +8", "Content-Length: -1", "Content-Length: 8, 8", "Content-Length: 8 8", "Content-Length: 8;", "Content-Length:", "Content-Length : 8",
		"Content-Length: 99999999999999999999", "Content-Length: 2000000", "Content-Length: 8\r\nContent-Length: 8", "Content-Length: 8\r\nContent-Length: 7", " Content-Length: 8",
		"X: y", "Content-Length: 8\x00", "Content-Length: 8\v", "Content-Length: 0x8", "Content-Length: ٨",
	}
	other := []string{
		"Content-Type: application/json", "Date: Sun, 29 Nov 2026 12:00:00 GMT", "X-RateLimit-Remaining: 5", "x-ratelimit-remaining: 6", "X: \xff", "Empty:", "Connection: keep-alive",
		"Connection: close", "Connection: Keep-Alive, close", "connection: upgrade", "Transfer-Encoding: chunked", "transfer-encoding: identity", "Transfer-Encoding:", "Content-Encoding: gzip",
		"Trailer: X", "Upgrade: h2c", "Pragma: no-cache", " folded", "\tfolded", "No colon", "NoColon", ": no name", "Bad name: x", "Bad\x00: x", "X: a\rb", "X: a\nb: c", "X: \x7f", "Näme: x", "Keep-Alive: timeout=5", "X: a:b",
	}
	of := func(list []string) string { return list[rand.N(len(list))] }
	read, left := 0, 0
	var room []byte
	for range 50_000 {
		lines := []string{of(length)}
		for range rand.N(5) {
			lines = append(lines, of(other[:7+rand.N(len(other)-6)]))
		}
		rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		text := of(first[:1+rand.N(len(first))]) + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
		switch rand.N(20) {
		case 0:
			text = strings.Replace(text, "\r\n", "\n", 1+rand.N(3))
		case 1:
			text = text[:rand.N(len(text))]
		case 2:
			at := rand.N(len(text))
			text = text[:at] + string(rune(rand.N(256))) + text[at:]
		}
		in := bufio.NewReader(strings.NewReader(text))
		_, _ = in.Peek(1)
		head, ok := plain(in)
		if !ok {
			left++
			if rest, _ := io.ReadAll(in); string(rest) != text {
				t.Fatalf("%q: it is not left where it was", text)
			}
			continue
		}
		read++
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		fields := http.Header{}
		for _, f := range head.fields {
			fields.Add(f.Name, f.Value)
		}
		if head.status != want.StatusCode || head.length != want.ContentLength || head.last != want.Close || len(want.TransferEncoding) > 0 || !maps.EqualFunc(fields, want.Header, slices.Equal) {
			t.Fatalf("%q: %+v, net/http has %+v", text, head, want)
		}
		got, gotErr := head.readBody(1<<20, room)
		room = got
		wanted, wantErr := io.ReadAll(want.Body)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !bytes.Equal(got, wanted) {
			t.Fatalf("%q: %q, %v, net/http has %q, %v", text, got, gotErr, wanted, wantErr)
		}
	}
	if read < 1000 || left < 1000 {
		t.Errorf("%d were read, %d left", read, left)
	}
	t.Logf("%d were read, %d left", read, left)
}

func TestHeaderFields(t *testing.T) {
	h := adapters.Header{{Name: "a", Value: "1"}, {Name: "Content-Type", Value: "x"}, {Name: "content-type", Value: "y"}}
	for name, want := range map[string]string{"A": "1", "CONTENT-TYPE": "x", "b": "", "": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

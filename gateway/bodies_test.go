package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
)

// sendHead sends the head of a POST with a body of that length, and the beginning of the body.
func (b *bench) sendHead(headers string, length int, beginning string) (io.ReadWriteCloser, *bufio.Reader) {
	b.t.Helper()
	conn := b.dial()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", headers, length, beginning); err != nil {
		b.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func (b *bench) status(in *bufio.Reader) *http.Response {
	b.t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// TestBody_WithoutKeyIsNotRead: a caller without a valid key is refused before its body is
// there, and holds no memory.
func TestBody_WithoutKeyIsNotRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for _, headers := range []string{"", "X-API-Key: agw_test_nobody\r\n"} {
		for range 20 {
			conn, in := b.sendHead(headers, 1<<20, strings.Repeat("x", 1<<10))
			if resp := b.status(in); resp.StatusCode != 401 || !resp.Close {
				t.Errorf("%d, close %v", resp.StatusCode, resp.Close)
			}
			conn.Close()
		}
	}
	if used := b.gateway.bodies.Used(); used != 0 {
		t.Errorf("%d bytes in use", used)
	}
}

// TestBody_NotNeeded: a small body that the route does not need does not cost the connection.
func TestBody_NotNeeded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	request := "GET /v1/backends HTTP/1.1\r\nHost: h\r\nX-API-Key: " + b.keys[keyAcme] + "\r\nContent-Length: 2\r\n\r\n{}"
	statuses, _, closed := b.raw(request+request+strings.Replace(request, "Host: h", "Host: h\r\nConnection: close", 1), 30*time.Second)
	if len(statuses) != 3 || !closed {
		t.Errorf("%v, closed %v", statuses, closed)
	}
}

// TestBody_MemoryIsBounded: bodies that arrive take memory from one bound, of which no key
// gets more than half, and give it back.
func TestBody_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.reload("request_timeout: 2m", "request_timeout: 2m, body_limit: 128KiB, max_body_bytes: 256KiB")
	acme, reader := "X-API-Key: "+b.keys[keyAcme]+"\r\n", keyAcme
	held, heldIn := b.sendHead(acme, 100<<10, strings.Repeat(" ", 96<<10))
	waittest.Until(t, "the memory", func() bool { return b.gateway.bodies.Used() >= 96<<10 })
	if resp := b.ask(reader, "POST", "/v1/agents", strings.Repeat(" ", 60<<10)); resp.StatusCode != 503 || resp.body["code"] != "overloaded" {
		t.Errorf("%d %s", resp.StatusCode, resp.text)
	}
	b.ask(keyKlen, "POST", "/v1/agents", `{"backend": "klen", "name": "n"}`).wants(t, 501, "operation_unsupported")
	if _, err := io.WriteString(held, strings.Repeat(" ", 4<<10)); err != nil {
		t.Fatal(err)
	}
	if resp := b.status(heldIn); resp.StatusCode != 400 {
		t.Errorf("%d", resp.StatusCode)
	}
	held.Close()
	waittest.Until(t, "the memory", func() bool { return b.gateway.bodies.Used() == 0 })
}

// TestExpect: a body that will be refused is refused before it is sent.
func TestExpect(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	key := "X-API-Key: " + b.keys[keyAcme] + "\r\n"
	const expect = "Expect: 100-continue\r\n"
	for name, c := range map[string]struct {
		headers string
		length  int
		want    int
	}{
		"too large":         {key + expect, 52428800, 413},
		"without a key":     {expect, 100, 401},
		"in another case":   {"Expect: 100-Continue\r\n", 100, 401},
		"of an unknown key": {"X-API-Key: nobody\r\n" + expect, 100, 401},
	} {
		conn, in := b.sendHead(c.headers, c.length, "")
		if resp := b.status(in); resp.StatusCode != c.want || !resp.Close || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d, close %v, %s", name, resp.StatusCode, resp.Close, resp.Header)
		}
		conn.Close()
	}
	body := `{"backend": "krosai", "name": "n"}`
	conn, in := b.sendHead(key+expect, len(body), "")
	defer conn.Close()
	if resp := b.status(in); resp.StatusCode != 100 {
		t.Fatalf("%d", resp.StatusCode)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if resp := b.status(in); resp.StatusCode != 201 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestCORS_EarlyRefusals: a page can read every refusal.
func TestCORS_EarlyRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.reload("request_timeout: 2m", "request_timeout: 2m, cors: {origins: [https://app.example]}")
	const origin = "Origin: https://app.example\r\n"
	key := "X-API-Key: " + b.keys[keyAcme] + "\r\n"
	for text, want := range map[string]int{
		"POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2097152\r\n" + key + origin + "\r\n{": 413,
		"GET /v1/agents?q=" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: h\r\n" + key + origin + "\r\n":                            414,
		"GET /v1/agents HTTP/1.1\r\nHost: h\r\n" + origin + "X-Large: " + strings.Repeat("x", 17000) + "\r\n\r\n":                       431,
		"POST /v1/agents HTTP/1.1\r\nHost: h\r\n" + origin + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":         400,
		"POST /v1/agents HTTP/1.1\r\nHost: h\r\n" + origin + "Expect: 100-continue\r\nContent-Length: 52428800\r\n\r\n":                 413,
		"GET /v1/agents HTTP/1.1\r\nHost: h\r\n" + origin + "\r\n":                                                                      401,
	} {
		conn := b.dial()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		resp := b.status(bufio.NewReader(conn))
		if resp.StatusCode != want || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(strings.Join(resp.Header["Vary"], ","), "Origin") {
			t.Errorf("%.60q: %d, want %d, %v", text, resp.StatusCode, want, resp.Header)
		}
		conn.Close()
	}
}

// TestAccept: parameters, case and several lines are read as RFC 9110, section 12.5.1, says.
func TestAccept(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for accept, want := range map[string]int{
		"application/json; charset=utf-8":           200,
		"application/json;charset=utf-8;q=0.5":      200,
		"APPLICATION/JSON":                          200,
		"application/*":                             200,
		"*/*":                                       200,
		"text/html, application/problem+json;q=0.1": 200,
		"text/html;q=0.9, */*;q=0.1":                200,
		"":                                          200,
		"application/json;v":                        200,
		"application/json;q=0":                      406,
		"application/json;q=0, */*":                 406,
		"text/html":                                 406,
	} {
		if got := b.get("/v1/agents", "Accept: "+accept); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", accept, got.StatusCode, want)
		}
	}
}

// TestMultipart: a form is refused by its media type.
func TestMultipart(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	form := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"
	b.ask(keyAcme, "POST", "/v1/agents", form, "Content-Type: multipart/form-data; boundary=x").wants(t, 415, "unsupported_media_type")
}

// TestConnectionClose: the option close is found wherever it stands (RFC 9110, section 7.6.1).
func TestConnectionClose(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for _, lines := range []string{"Connection: close\r\n", "Connection: Close\r\n", "Connection: keep-alive, close\r\n", "Connection: keep-alive\r\nConnection: close\r\n"} {
		statuses, _, closed := b.raw("GET /livez HTTP/1.1\r\nHost: h\r\n"+lines+"\r\n", 30*time.Second)
		if len(statuses) != 1 || !closed {
			t.Errorf("%q: %v, closed %v", lines, statuses, closed)
		}
	}
}

// TestBody_Incomplete: a request whose body did not arrive completely is not carried out.
func TestBody_Incomplete(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	const agent = `{"backend": "krosai", "name": "Half"}`
	head := "POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-API-Key: " + b.keys[keyAcme] + "\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(agent), agent)
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"shorter than its length": {head + "Content-Length: 5000\r\n\r\n" + agent, 400},
		"no last chunk":           {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk, 400},
		"no end of the trailer":   {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n", 400},
		"half a chunk":            {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk[:20], 400},
		"whole":                   {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n", 201},
		"whole, of known length":  {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(agent)) + agent, 201},
	} {
		before := b.posts("krosai")
		conn := b.dial().(*net.TCPConn)
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, c.text); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := b.status(bufio.NewReader(conn)).StatusCode; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if sent := b.posts("krosai") - before; (sent == 1) != (c.want == 201) {
			t.Errorf("%s: %d creates were sent", name, sent)
		}
	}
}

// TestBody_LargeKeepsTheConnection: a body that was read whole does not cost the connection,
// however long it was.
func TestBody_LargeKeepsTheConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	conn, in := b.sendHead("X-API-Key: "+b.keys[keyAcme]+"\r\n", 100<<10, strings.Repeat(" ", 100<<10))
	defer conn.Close()
	if resp := b.status(in); resp.StatusCode != 400 || resp.Close {
		t.Errorf("%d, close %v", resp.StatusCode, resp.Close)
	}
}

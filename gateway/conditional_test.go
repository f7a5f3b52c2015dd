package gateway

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestIfNoneMatch_NotModified: a 304 has no body, and the headers of the response that
// the caller has.
func TestIfNoneMatch_NotModified(t *testing.T) {
	b := newBench(t, "")
	for _, path := range []string{"/v1/agents", "/v1/agents?status=active&order_by=name&limit=3", "/v1/agents?view=full&include=raw", krosaiAgent, "/v1/agents/agenthuman:131", "/v1/agents/klen:123", "/v1/backends/klen"} {
		first := b.get(path).wants(t, 200, "")
		tag := first.Header.Get("ETag")
		if tag == "" {
			t.Errorf("%s has no ETag", path)
		}
		for _, method := range []string{"GET", "HEAD"} {
			r := b.ask(keyAcme, method, path, "", `If-None-Match: "other", `+tag)
			if r.StatusCode != 304 || r.text != "" || r.Header.Get("ETag") != tag || r.Header.Get("Cache-Control") != "private, no-cache" || r.Header.Get("Vary") == "" || r.Header.Get("X-Request-Id") == "" || r.Header.Get("Content-Type") != "" {
				t.Errorf("%s %s: %d %v %q", method, path, r.StatusCode, r.Header, r.text)
			}
			if complete := r.Header.Get("X-Agentgw-Complete"); complete != first.Header.Get("X-Agentgw-Complete") {
				t.Errorf("%s: X-Agentgw-Complete %q", path, complete)
			}
		}
		b.get(path, `If-None-Match: "other"`).wants(t, 200, "")
	}
	b.get("/v1/agents/klen:1", "If-None-Match: *").wants(t, 404, "agent_not_found")
}

// TestETag_ChangesWithTheContent: an agent's tag depends on its configuration, a list's on
// everything except when it was read.
func TestETag_ChangesWithTheContent(t *testing.T) {
	b := newBench(t, "")
	tag := func(path string) string { return b.get(path).wants(t, 200, "").Header.Get("ETag") }
	agent, list, other := tag(krosaiAgent), tag("/v1/agents?backend=krosai"), tag("/v1/agents?backend=klen")
	if !strings.HasPrefix(agent, `"`) || !strings.HasPrefix(list, `W/"`) {
		t.Errorf("%s %s", agent, list)
	}
	b.gateway.Purge("", "") // the content stays the same
	if tag(krosaiAgent) != agent || tag("/v1/agents?backend=krosai") != list {
		t.Error("a tag changed without its content")
	}
	if tag("/v1/agents?backend=krosai&limit=2") == list || tag("/v1/agents?backend=krosai&include=raw") == list {
		t.Error("other lists have the same tag")
	}
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed"}`).wants(t, 200, "")
	if tag(krosaiAgent) == agent || tag("/v1/agents?backend=krosai") == list || tag("/v1/agents?backend=klen") != other {
		t.Error("a write changed the wrong tags")
	}
	// An incomplete list has another tag.
	path := "/v1/agents?backend=krosai,klen"
	whole := tag(path)
	b.gateway.Purge("", "")
	b.vendors["klen"].Control().Fail(faultOf(500))
	if r := b.get(path, "If-None-Match: "+whole); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestIfNoneMatch_DoesNotReviveAnInvalidCursor(t *testing.T) {
	b := newBench(t, "")
	first := b.get("/v1/agents?limit=2").wants(t, 200, "")
	b.env["CURSORS"] = "another secret than before"
	b.reload("server: {", "server: {cursor_secret: env:CURSORS, ")
	b.get("/v1/agents?cursor="+first.body["next_cursor"].(string)).wants(t, 400, "cursor_invalid")
	again := b.get("/v1/agents?limit=2", "If-None-Match: "+first.Header.Get("ETag")).wants(t, 200, "")
	b.get("/v1/agents?cursor="+again.body["next_cursor"].(string)).wants(t, 200, "")
}

func TestCompression_DecodesToTheSameBytesAndIsCached(t *testing.T) {
	b := newBench(t, "")
	plain := b.get("/v1/agents", "Accept-Encoding: identity").wants(t, 200, "").text
	unpack := map[string]func([]byte) ([]byte, error){
		"gzip": func(packed []byte) ([]byte, error) {
			r, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		"zstd": func(packed []byte) ([]byte, error) {
			d, err := zstd.NewReader(nil)
			if err != nil {
				return nil, err
			}
			defer d.Close()
			return d.DecodeAll(packed, nil)
		},
	}
	for coding, unpack := range unpack {
		r := b.get("/v1/agents", "Accept-Encoding: "+coding)
		if r.Header.Get("Content-Encoding") != coding || r.ContentLength != int64(len(r.text)) || len(r.text) > len(plain)/3 {
			t.Errorf("%s: %v, %d of %d bytes", coding, r.Header, len(r.text), len(plain))
		}
		if got, err := unpack([]byte(r.text)); err != nil || string(got) != plain {
			t.Errorf("%s: %v, %d bytes", coding, err, len(got))
		}
		if head := b.ask(keyAcme, "HEAD", "/v1/agents", "", "Accept-Encoding: "+coding); head.Header.Get("Content-Encoding") != coding || head.Header.Get("Content-Length") != fmt.Sprint(len(r.text)) {
			t.Errorf("HEAD: %v", head.Header)
		}
		if get := b.get(krosaiAgent, "Accept-Encoding: "+coding); get.Header.Get("Content-Encoding") != coding {
			t.Errorf("an agent of over 1 KiB: %v", get.Header)
		}
		if page := b.ask("", "GET", "/docs/errors", "", "Accept-Encoding: "+coding); page.Header.Get("Content-Encoding") != coding || page.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("/docs/errors: %v", page.Header)
		}
		if small := b.get("/v1/agents/nope", "Accept-Encoding: "+coding); small.Header.Get("Content-Encoding") != "" || small.StatusCode != http.StatusNotFound {
			t.Errorf("a small body: %v", small.Header)
		}
	}
	size := b.gateway.responses.Size()
	for range 5 {
		b.get("/v1/agents", "Accept-Encoding: gzip")
		b.get("/v1/agents", "Accept-Encoding: zstd")
	}
	if got := b.gateway.responses.Size(); got != size {
		t.Errorf("the responses grew from %d to %d bytes", size, got)
	}
}

package gateway

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/sandbox"
)

// snapshot is the one that a backend's list is served from; nil for none.
func (b *bench) snapshot(backend string) *catalog.Snapshot {
	b.t.Helper()
	for _, item := range b.gateway.cache.store.items.Items() {
		if e := item.Object.(*entry); e.owner.backend.Name == backend && e.result.Snapshot != nil {
			return e.result.Snapshot
		}
	}
	return nil
}

// TestUnchangedReplies: a reply that is the same as before is not decoded again, and one
// that differs in anything is. Whatever was read, it was asked for, and it says when.
func TestUnchangedReplies(t *testing.T) {
	b := newBench(t, "")
	const list = "/v1/agents?backend=krosai"
	first := b.get(list).wants(t, 200, "")
	asked, before := b.requests("krosai"), b.snapshot("krosai")
	again := b.get(list, "Cache-Control: no-cache").wants(t, 200, "")
	if b.requests("krosai") != asked+1 || again.Header.Get("Cache-Status") != "agentgw; fwd=request" {
		t.Errorf("asked %d times, %s", b.requests("krosai")-asked, again.Header.Get("Cache-Status"))
	}
	if b.snapshot("krosai") != before || again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Error("the same reply was decoded again")
	}
	if r := b.get(krosaiAgent).wants(t, 200, ""); r.Header.Get("ETag") != b.get(krosaiAgent, "Cache-Control: no-cache").Header.Get("ETag") {
		t.Error("an agent that is the same has another tag")
	}

	krosai := b.vendors["krosai"].Control()
	krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.Replace(body, []byte("Product Expert"), []byte("Renamed there"), 1)
	}})
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); !bytes.Contains([]byte(r.text), []byte("Renamed there")) || b.snapshot("krosai") == before {
		t.Errorf("a changed reply was not read: %s", r.text)
	}
	changed := b.snapshot("krosai")
	krosai.Heal()
	krosai.Fail(sandbox.Fault{Status: 200, Body: "<html>"}) // once, and then the same: it is a failure each time
	for range 2 {
		b.get(list, "Cache-Control: no-cache")
	}
	krosai.Heal()
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); r.text == "" || b.snapshot("krosai") == changed {
		t.Error("what it was before is not read again")
	}
	// After a write nothing is known, so nothing is recognised.
	before = b.snapshot("krosai")
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Product Expert"}`).wants(t, 200, "")
	b.get(list).wants(t, 200, "")
	if b.snapshot("krosai") == before {
		t.Error("a snapshot of before a write was served")
	}
}

// TestLentBodies: what is made of a reply that differs stays what it is, whatever is read into
// the same memory after it.
func TestLentBodies(t *testing.T) {
	b := newBench(t, "")
	krosai := b.vendors["krosai"].Control()
	for _, path := range []string{krosaiAgent, "/v1/agents?backend=krosai"} {
		asWell := path + "?include=raw"
		if path != krosaiAgent {
			asWell = path + "&include=raw"
		}
		for i := range 8 {
			name := []byte(fmt.Sprintf("Named %07d", i)) // as long as it was
			krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte { return bytes.Replace(body, []byte("Product Expert"), name, 1) }})
			made := b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
			krosai.Heal()
			for range 4 { // of others, into the same memory
				b.get("/v1/agents/krosai:nobody", "Cache-Control: no-cache")
				b.get("/v1/agents?backend=klen", "Cache-Control: no-cache")
			}
			if kept := b.get(path).wants(t, 200, ""); !bytes.Contains([]byte(made.text), name) || kept.text != made.text {
				t.Errorf("%s: %s, then %s", path, made.text, kept.text)
			}
			if raw := b.get(asWell).wants(t, 200, ""); bytes.Count([]byte(raw.text), name) != 2 {
				t.Errorf("%s: its raw JSON is not what came: %s", path, raw.text)
			}
		}
	}
}

// TestUnchangedPages: of a list of several replies each may change, so none is recognised.
func TestUnchangedPages(t *testing.T) {
	b := newBench(t, "")
	for i := range 250 {
		b.vendors["krosai"].Seed(b.env["ACME_KROSAI"], []byte(fmt.Sprintf(seeded("krosai"), i)))
	}
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	before, asked := b.snapshot("krosai"), b.requests("krosai")
	b.get("/v1/agents?backend=krosai", "Cache-Control: no-cache").wants(t, 200, "")
	if replies := b.requests("krosai") - asked; replies > 1 == (b.snapshot("krosai") == before) {
		t.Errorf("%d replies, and the same snapshot is %v", replies, b.snapshot("krosai") == before)
	}
}

// TestOddRepliesAreNotRecognised: where any reply was another success than 200, nothing is.
func TestOddRepliesAreNotRecognised(t *testing.T) {
	heard := &transcript{}
	heard.hear(adapters.Response{Status: 200, Body: []byte("{}")})
	first := heard.heard()
	if first == nil {
		t.Fatal("one reply has no hash")
	}
	if first == &heard.last {
		t.Error("the hash pins the transcript, and that the one before it, and so on")
	}
	for name, replies := range map[string][]adapters.Response{
		"another body": {{Status: 200, Body: []byte("{ }")}},
		"another type": {{Status: 200, Body: []byte("{}"), Header: adapters.Header{{Name: "Content-Type", Value: "text/html"}}}},
		"not 200":      {{Status: 203, Body: []byte("{}")}},
	} {
		next := &transcript{before: first}
		for _, r := range replies {
			if next.hear(r) {
				t.Errorf("%s is recognised", name)
			}
		}
	}
	next := &transcript{before: first}
	if !next.hear(adapters.Response{Status: 200, Body: []byte("{}")}) || *next.heard() != *first {
		t.Error("the same is not recognised")
	}
	if next.hear(adapters.Response{Status: 203, Body: []byte("[]")}); next.heard() != nil {
		t.Error("of two replies, there is one hash")
	}
}

package gateway

import (
	"bytes"
	"fmt"
	"net/http"
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

// TestUnchanged_ReplyIsNotDecodedAgain: a reply that is the same as before is not decoded again, and one
// that differs in anything is. Whatever was read, it was asked for, and it says when.
func TestUnchanged_ReplyIsNotDecodedAgain(t *testing.T) {
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
	// After a write nothing is kept, so nothing matches.
	before = b.snapshot("krosai")
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Product Expert"}`).wants(t, 200, "")
	b.get(list).wants(t, 200, "")
	if b.snapshot("krosai") == before {
		t.Error("a snapshot of before a write was served")
	}
}

// TestUnchanged_PagesAreDecoded: of a list of several replies each may change, so none matches.
func TestUnchanged_PagesAreDecoded(t *testing.T) {
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

// TestReplyTracker_WhichRepliesMatch: only a single reply, a 200 with the same type and body.
func TestReplyTracker_WhichRepliesMatch(t *testing.T) {
	before := &replyTracker{}
	before.observe(adapters.Response{Status: 200, Body: []byte("{}")})
	first := before.hash()
	if first == nil {
		t.Fatal("one reply has no hash")
	}
	if first == &before.last {
		t.Error("the hash holds on to its tracker, which holds on to the hash before it, and so on")
	}
	for name, r := range map[string]adapters.Response{
		"another body": {Status: 200, Body: []byte("{ }")},
		"another type": {Status: 200, Body: []byte("{}"), Header: http.Header{"Content-Type": {"text/html"}}},
		"not 200":      {Status: 203, Body: []byte("{}")},
	} {
		if next := (&replyTracker{previous: first}); next.observe(r) || next.unchanged() {
			t.Errorf("%s matches", name)
		}
	}
	next := &replyTracker{previous: first}
	if !next.observe(adapters.Response{Status: 200, Body: []byte("{}")}) || !next.unchanged() || *next.hash() != *first {
		t.Error("the same reply does not match")
	}
	if next.observe(adapters.Response{Status: 200, Body: []byte("[]")}); next.hash() != nil || next.unchanged() {
		t.Error("two replies have one hash")
	}
}

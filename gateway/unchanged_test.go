package gateway

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/sandbox"
)

// decoding counts the lists that an adapter decodes.
type decoding struct {
	adapters.Adapter
	lists *atomic.Int64
}

func (d decoding) List(ctx context.Context, c adapters.Credential) (adapters.Listing, error) {
	listing, err := d.Adapter.List(ctx, c)
	if err == nil {
		d.lists.Add(1)
	}
	return listing, err
}

// newDecodingBench returns a bench, and the number of lists of krosai that were decoded.
func newDecodingBench(t *testing.T) (*bench, *atomic.Int64) {
	krosai, lists := provider("krosai"), new(atomic.Int64)
	made := krosai.New
	krosai.New = func(s adapters.Settings) adapters.Adapter { return decoding{made(s), lists} }
	return newBench(t, "", krosai), lists
}

// TestUnchanged_ReplyIsNotDecodedAgain: a reply that is the same as before is not decoded again, and one
// that differs in anything is. Whatever was read, it was asked for, and it says when.
func TestUnchanged_ReplyIsNotDecodedAgain(t *testing.T) {
	b, decoded := newDecodingBench(t)
	const list = "/v1/agents?backend=krosai"
	first := b.get(list).wants(t, 200, "")
	asked, before := b.requests("krosai"), decoded.Load()
	again := b.get(list, "Cache-Control: no-cache").wants(t, 200, "")
	if b.requests("krosai") != asked+1 || again.Header.Get("Cache-Status") != "agentgw; fwd=request" {
		t.Errorf("asked %d times, %s", b.requests("krosai")-asked, again.Header.Get("Cache-Status"))
	}
	if decoded.Load() != before || again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Error("the same reply was decoded again")
	}
	if r := b.get(krosaiAgent).wants(t, 200, ""); r.Header.Get("ETag") != b.get(krosaiAgent, "Cache-Control: no-cache").Header.Get("ETag") {
		t.Error("an agent that is the same has another tag")
	}

	krosai := b.vendors["krosai"].Control()
	krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.Replace(body, []byte("Product Expert"), []byte("Renamed there"), 1)
	}})
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); !bytes.Contains([]byte(r.text), []byte("Renamed there")) || decoded.Load() == before {
		t.Errorf("a changed reply was not read: %s", r.text)
	}
	changed := decoded.Load()
	krosai.Heal()
	krosai.Fail(sandbox.Fault{Status: 200, Body: "<html>"}) // once, and then the same: it is a failure each time
	for range 2 {
		b.get(list, "Cache-Control: no-cache")
	}
	krosai.Heal()
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); r.text == "" || decoded.Load() == changed {
		t.Error("what it was before is not read again")
	}
	// After a write nothing is kept, so nothing matches.
	before = decoded.Load()
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Product Expert"}`).wants(t, 200, "")
	b.get(list).wants(t, 200, "")
	if decoded.Load() == before {
		t.Error("a snapshot of before a write was served")
	}
}

// TestUnchanged_PagesAreDecoded: of a list of several replies each may change, so none matches.
func TestUnchanged_PagesAreDecoded(t *testing.T) {
	b, decoded := newDecodingBench(t)
	for i := range 250 {
		b.vendors["krosai"].Seed(b.env["ACME_KROSAI"], []byte(fmt.Sprintf(seeded("krosai"), i)))
	}
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	before, asked := decoded.Load(), b.requests("krosai")
	b.get("/v1/agents?backend=krosai", "Cache-Control: no-cache").wants(t, 200, "")
	if replies := b.requests("krosai") - asked; replies > 1 == (decoded.Load() == before) {
		t.Errorf("%d replies, and not decoded: %v", replies, decoded.Load() == before)
	}
}

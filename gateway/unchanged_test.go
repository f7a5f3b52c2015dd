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

// decodeCounter counts the lists that an adapter decodes.
type decodeCounter struct {
	adapters.Adapter
	lists *atomic.Int64
}

func (d decodeCounter) List(ctx context.Context, c adapters.Credential) (adapters.Listing, error) {
	listing, err := d.Adapter.List(ctx, c)
	if err == nil {
		d.lists.Add(1)
	}
	return listing, err
}

// newDecodingBench returns a bench, and the number of lists of krosai that were decoded.
func newDecodingBench(t *testing.T) (*bench, *atomic.Int64) {
	krosai, lists := provider("krosai"), new(atomic.Int64)
	newAdapter := krosai.New
	krosai.New = func(s adapters.Settings) adapters.Adapter { return decodeCounter{newAdapter(s), lists} }
	return newBench(t, "", krosai), lists
}

// A reply that equals the last one is not decoded again; one that differs in anything is.
func TestUnchanged_ReplyIsNotDecodedAgain(t *testing.T) {
	b, decoded := newDecodingBench(t)
	const list = "/v1/agents?backend=krosai"
	first := b.get(list).wants(t, 200, "")
	sent, before := b.requests("krosai"), decoded.Load()
	again := b.get(list, "Cache-Control: no-cache").wants(t, 200, "")
	if b.requests("krosai") != sent+1 || again.Header.Get("Cache-Status") != "agentgw; fwd=request" {
		t.Errorf("%d requests, %s", b.requests("krosai")-sent, again.Header.Get("Cache-Status"))
	}
	if decoded.Load() != before || again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Error("the same reply was decoded again")
	}
	if r := b.get(krosaiAgent).wants(t, 200, ""); r.Header.Get("ETag") != b.get(krosaiAgent, "Cache-Control: no-cache").Header.Get("ETag") {
		t.Error("an unchanged agent has another ETag")
	}

	krosai := b.vendors["krosai"].Control()
	krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.Replace(body, []byte("Product Expert"), []byte("Renamed there"), 1)
	}})
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); !bytes.Contains([]byte(r.text), []byte("Renamed there")) || decoded.Load() == before {
		t.Errorf("a changed reply was not decoded: %s", r.text)
	}
	changed := decoded.Load()
	krosai.Heal()
	krosai.Fail(sandbox.Fault{Status: 200, Body: "<html>"}) // twice the same: a failure each time
	for range 2 {
		b.get(list, "Cache-Control: no-cache")
	}
	krosai.Heal()
	if r := b.get(list, "Cache-Control: no-cache").wants(t, 200, ""); r.text == "" || decoded.Load() == changed {
		t.Error("the reply of before the failures was not decoded again")
	}
	// A write drops the cached list, so no reply matches.
	before = decoded.Load()
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Product Expert"}`).wants(t, 200, "")
	b.get(list).wants(t, 200, "")
	if decoded.Load() == before {
		t.Error("a list of before the write was served")
	}
}

// The pages of a list of several replies are always decoded.
func TestUnchanged_PagesAreDecoded(t *testing.T) {
	b, decoded := newDecodingBench(t)
	for i := range 250 {
		b.vendors["krosai"].Seed(b.env["ACME_KROSAI"], []byte(fmt.Sprintf(seeded("krosai"), i)))
	}
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	before, sent := decoded.Load(), b.requests("krosai")
	b.get("/v1/agents?backend=krosai", "Cache-Control: no-cache").wants(t, 200, "")
	if replies := b.requests("krosai") - sent; replies > 1 == (decoded.Load() == before) {
		t.Errorf("%d replies, and not decoded: %v", replies, decoded.Load() == before)
	}
}

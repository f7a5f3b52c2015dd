package api

import (
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/payload"
)

func TestResponseCache_IsBounded(t *testing.T) {
	const limit = 20_000
	c := NewResponseCache()
	c.Limit(limit)
	text := []byte(strings.Repeat(`{"name":"n"}`, 200)) // 2400 bytes
	key := func(id string) responseKey { return responseKey{id: id} }
	put := func(id string, body []byte) {
		c.Put(key(id), &cachedResponse{response: &response{body: payload.New(body)}}, c.Generation())
	}
	for _, id := range strings.Split("abcdefghij", "") {
		put(id, text)
	}
	if got := c.Size(); got > limit || got < limit/2 {
		t.Errorf("%d bytes", got)
	}
	if _, ok := c.Get(key("a"), nil, time.Now()); ok {
		t.Error("the oldest response is still there")
	}
	newest, ok := c.Get(key("j"), nil, time.Now())
	if !ok {
		t.Fatal("the newest response is not there")
	}
	before := c.Size()
	newest.response.body.In(payload.Gzip)
	if _, ok := c.Get(key("j"), nil, time.Now()); !ok || c.Size() <= before {
		t.Error("the compressed form is not counted")
	}
	before = c.Size()
	put("large", make([]byte, 2*limit))
	if _, ok := c.Get(key("j"), nil, time.Now()); !ok || c.Size() != before {
		t.Errorf("a response that never fits evicted others: %d bytes", c.Size())
	}
	generation := c.Generation()
	c.Purge()
	c.Put(key("k"), &cachedResponse{response: &response{body: payload.New(text)}}, generation)
	if c.Size() != 0 {
		t.Errorf("%d bytes after a purge", c.Size())
	}
}

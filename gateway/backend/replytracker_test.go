package backend

import (
	"net/http"
	"testing"

	"github.com/agentgw/agentgw/adapters"
)

// Only a single reply matches, a 200 with the same Content-Type and body.
func TestReplyTracker_WhichRepliesMatch(t *testing.T) {
	before := &replyTracker{}
	before.observe(adapters.Response{Status: 200, Body: []byte("{}")})
	first := before.hash()
	if first == nil {
		t.Fatal("one reply has no hash")
	}
	if first == &before.last {
		t.Error("the hash keeps its tracker in memory, and with it all trackers before it")
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

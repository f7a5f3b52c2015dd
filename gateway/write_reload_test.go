package gateway

import (
	"bytes"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// What was read during a write is not served after it, even if a reload replaced the tenant in
// between.
func TestCache_WriteAcrossReloadInvalidates(t *testing.T) {
	for name, meanwhile := range map[string]func(*bench){
		"the backend is reconfigured": func(b *bench) { b.reload("timeout: 60s", "timeout: 50s") },
		"the key is removed and added again": func(b *bench) {
			b.reload(b.file[strings.Index(b.file, "keys:"):], "keys: []")
			b.reload()
		},
		"no reload": func(*bench) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "timeout: 60s")
			krosai := b.vendors["krosai"].Control()
			written, release, answered := make(chan struct{}), make(chan struct{}), make(chan reply, 1)
			krosai.Fail(sandbox.Fault{Method: "PUT", Change: func(body []byte) []byte {
				close(written)
				<-release
				return body
			}})
			go func() { answered <- b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed"}`) }()
			<-written
			krosai.Heal()
			meanwhile(b)
			// The provider shows the old name until the write is answered.
			krosai.Fail(sandbox.Fault{Method: "GET", Change: func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte("Renamed"), []byte("Product Expert"))
			}})
			if r := b.ask(keyAcme, "GET", krosaiAgent, "").wants(t, 200, ""); r.body["name"] != "Product Expert" {
				t.Errorf("before the write it is %v", r.body["name"])
			}
			b.ask(keyAcme, "GET", "/v1/agents?backend=krosai", "").wants(t, 200, "")
			krosai.Heal()
			close(release)
			(<-answered).wants(t, 200, "")
			if r := b.ask(keyAcme, "GET", krosaiAgent, "").wants(t, 200, ""); r.body["name"] != "Renamed" {
				t.Errorf("after the write it is %v", r.body["name"])
			}
			if r := b.ask(keyAcme, "GET", "/v1/agents?backend=krosai", "").wants(t, 200, ""); !strings.Contains(r.text, `"Renamed"`) {
				t.Errorf("after the write the list is %s", r.text)
			}
		})
	}
}

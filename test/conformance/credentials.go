package conformance

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/agentgw/agentgw/adapters"
)

// allowedHeaders are the request headers that may be sent beside the credential.
var allowedHeaders = []string{"Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent"}

func credentialPlace(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	for op, call := range b.operations(b.Adapter, b.Cred, id) {
		if b.native(op) && op != adapters.OpDelete {
			if err := call(context.Background()); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		}
	}
	for _, r := range b.Vendor.Control().Requests() {
		places := 0
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, ","), seededKey) {
				places++
			} else if !slices.Contains(allowedHeaders, name) {
				t.Errorf("%s %s has a header %s", r.Method, r.Path, name)
			}
		}
		if places != 1 {
			t.Errorf("%s %s: the credential is in %d headers", r.Method, r.Path, places)
		}
		if strings.Contains(r.Path+r.Query.Encode()+string(r.Body), seededKey) {
			t.Errorf("%s %s: the credential is in the URL or body", r.Method, r.Path)
		}
	}
}

func credentialsApart(t T, b *Bench) {
	b.Vendor.Seed("canary-other", b.Many(3)...)
	other := credential("canary-other")
	for range 3 {
		if got := len(b.list(t, b.Cred)); got != len(b.Seeds) {
			t.Errorf("%d agents, want %d", got, len(b.Seeds))
		}
		if got := len(b.list(t, other)); got != 3 {
			t.Errorf("another credential sees %d agents, want 3", got)
		}
		if got := len(b.list(t, b.Empty)); got != 0 {
			t.Errorf("an empty account shows %d agents", got)
		}
	}
}

func concurrentCalls(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 8 {
				if i%2 == 0 {
					if listing, err := b.Adapter.List(context.Background(), b.Empty); err != nil || len(listing.Agents) != 0 {
						t.Errorf("List: %d agents, %v", len(listing.Agents), err)
					}
				} else if b.native(adapters.OpGet) {
					if agent, err := b.Adapter.Get(context.Background(), b.Cred, id); err != nil || agent.NativeID != id {
						t.Errorf("Get: %v, %v", agent, err)
					}
				} else if listing, err := b.Adapter.List(context.Background(), b.Cred); err != nil || len(listing.Agents) != len(b.Seeds) {
					t.Errorf("List: %d agents, %v", len(listing.Agents), err)
				}
			}
		})
	}
	wg.Wait()
}

// Package conformance is the test suite that every adapter must pass against an emulator of its
// provider. It tests the contract of package adapters.
//
// What a provider supports comes from its adapters.Info, never from its name.
package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/upstream"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

// Harness is what the suite needs to know about a provider.
type Harness struct {
	Provider adapters.Provider
	Emulator func() sandbox.Emulator
	// Seeds are agents as the emulator stores them. Together they fill every
	// field that the provider shows.
	Seeds []json.RawMessage
	// Many makes n further agents.
	Many func(n int) []json.RawMessage
	// Missing is an id that the provider could give and did not.
	Missing string
	// Creates are bodies of new agents in the gateway's words, by the
	// architecture or another name; none where there is no create. Together
	// they set every field that a create takes.
	Creates map[string]string
	// Update is a patch in the gateway's words that sets every field and every
	// extension that an update takes.
	Update string
	// Errors are answers that the provider documents.
	Errors []DocumentedError
}

// DocumentedError is a documented error response, and how an adapter must classify it.
type DocumentedError struct {
	Status int
	Header map[string]string
	Body   string
	Kind   normalize.Kind
	Code   string
	Wait   time.Duration
}

// T is what a check reports to: a *testing.T, or a recorder that tests a broken adapter.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Check is one requirement of an adapter.
type Check struct {
	Name string
	Run  func(t T, b *Bench)
}

// timeout is the timeout of requests that nothing else ends. It leaves time for the header of
// a response.
const timeout = time.Second

// Run runs every check as a subtest.
func Run(t *testing.T, h Harness) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			b := NewBench(h)
			defer b.Close(t)
			c.Run(t, b)
		})
	}
}

// Bench is an adapter with its own emulated provider.
type Bench struct {
	Harness
	Adapter  adapters.Adapter // its timeout is a hang guard
	Hasty    adapters.Adapter // its timeout is short
	Vendor   sandbox.Emulator
	Cred     adapters.Credential // of an account with the seeds
	Empty    adapters.Credential // of an account without agents
	Stranger adapters.Credential // of no account
	server   *httptest.Server
	clients  []*upstream.Client
}

// BackendName is the name of the backend in the suite.
const BackendName = "backend-1"

// Keys of the accounts. No result of the adapter may contain one.
const (
	seededKey  = "canary-seeded-7d1f"
	emptyKey   = "canary-empty-93ab"
	unknownKey = "canary-unknown-c20e"
)

// NewBench starts an emulator and creates an adapter for it.
func NewBench(h Harness) *Bench {
	b := &Bench{
		Harness: h, Vendor: h.Emulator(),
		Cred:     adapters.NewCredential(secret.New(seededKey)),
		Empty:    adapters.NewCredential(secret.New(emptyKey)),
		Stranger: adapters.NewCredential(secret.New(unknownKey)),
	}
	b.Vendor.Seed(seededKey, h.Seeds...)
	b.Vendor.Seed(emptyKey)
	b.server = httptest.NewServer(b.Vendor)
	b.Adapter = b.adapter(waittest.HangGuard)
	b.Hasty = b.adapter(timeout)
	return b
}

// maxBody is the limit of a body. A check exceeds it.
const maxBody = 1 << 20

func (b *Bench) adapter(timeout time.Duration) adapters.Adapter {
	base, err := url.Parse(b.server.URL + b.Vendor.Prefix())
	if err != nil {
		panic(err) // httptest gives valid URLs
	}
	client := upstream.New(upstream.Options{
		Provider: b.Provider.Info.Provider, BaseURL: base, Timeout: timeout, MaxResponseBytes: maxBody, UserAgent: "agentgw/test",
	})
	b.clients = append(b.clients, client)
	return b.Provider.New(adapters.Settings{Backend: BackendName, RoundTrip: client.RoundTrip})
}

// Close stops the emulator and reports requests that the provider does not document.
func (b *Bench) Close(t T) {
	t.Helper()
	for _, c := range b.clients {
		c.Close()
	}
	b.server.CloseClientConnections()
	b.server.Close()
	for _, v := range b.Vendor.Control().Violations() {
		t.Errorf("%s", v)
	}
}

// info returns the provider's capabilities.
func (b *Bench) info() *adapters.Info { return b.Provider.Info }

// native reports whether the provider itself supports an operation.
func (b *Bench) native(op adapters.Operation) bool {
	return b.info().Operations[op] == adapters.Native
}

// operations returns all operations of the adapter as functions of one type.
func (b *Bench) operations(a adapters.Adapter, cred adapters.Credential, id string) map[adapters.Operation]func(context.Context) error {
	return map[adapters.Operation]func(context.Context) error{
		adapters.OpList:   func(ctx context.Context) error { _, err := a.List(ctx, cred); return err },
		adapters.OpGet:    func(ctx context.Context) error { _, err := a.Get(ctx, cred, id); return err },
		adapters.OpCreate: func(ctx context.Context) error { _, err := a.Create(ctx, cred, b.anyCreate()); return err },
		adapters.OpUpdate: func(ctx context.Context) error { return a.Update(ctx, cred, id, b.update()) },
		adapters.OpDelete: func(ctx context.Context) error { return a.Delete(ctx, cred, id) },
	}
}

func (b *Bench) anyCreate() normalize.Change {
	for _, body := range b.Creates {
		return parse(body)
	}
	return normalize.Change{}
}

func (b *Bench) update() normalize.Change {
	if b.Update == "" {
		return normalize.Change{}
	}
	return parse(b.Update)
}

// parse parses a body of the harness and panics if it is invalid.
func parse(body string) normalize.Change {
	parsed, violations, err := normalize.ParseBody([]byte(body))
	if err != nil || len(violations) > 0 {
		panic(fmt.Sprintf("the harness's body is not valid: %v %v: %s", err, violations, body))
	}
	return parsed.Change
}

// list returns all agents of an account. An error ends the check.
func (b *Bench) list(t T, cred adapters.Credential) []*normalize.Agent {
	t.Helper()
	listing, err := b.Adapter.List(context.Background(), cred)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if listing.Partial != nil {
		t.Errorf("List is partial: %v", listing.Partial)
	}
	return listing.Agents
}

// read returns an agent in the fullest view: by Get, or from the list.
func (b *Bench) read(t T, cred adapters.Credential, id string) *normalize.Agent {
	t.Helper()
	if !b.native(adapters.OpGet) {
		for _, a := range b.list(t, cred) {
			if a.Answers(id) {
				return a
			}
		}
		t.Fatalf("the list has no %s", id)
	}
	agent, err := b.Adapter.Get(context.Background(), cred, id)
	if err != nil {
		t.Fatalf("Get %s: %v", id, err)
	}
	return agent
}

// requests returns the number of requests since the last call.
func (b *Bench) requests() int {
	n := len(b.Vendor.Control().Requests())
	b.Vendor.Control().Forget()
	return n
}

// Package conformance is what every adapter must pass against an emulator of
// its vendor. It reads as what the contract in package adapters means.
//
// It asks an adapter's Info what the vendor can do, and never which vendor it
// is.
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
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

// Harness is what the suite needs to know of one vendor.
type Harness struct {
	Provider adapters.Provider
	Emulator func() sandbox.Emulator
	// Seeds are agents as the emulator stores them. Together they fill every
	// field that the vendor shows.
	Seeds []json.RawMessage
	// Many makes n further agents.
	Many func(n int) []json.RawMessage
	// Missing is an id that the vendor could give and did not.
	Missing string
	// Creates are bodies of new agents in the gateway's words, by the
	// architecture or another name; none where there is no create. Together
	// they set every field that a create takes.
	Creates map[string]string
	// Update is a patch in the gateway's words that sets every field and every
	// extension that an update takes.
	Update string
	// Errors are answers that the vendor documents.
	Errors []DocumentedError
}

// DocumentedError is an answer, and what it means.
type DocumentedError struct {
	Status int
	Header map[string]string
	Body   string
	Kind   normalize.Kind
	Code   string
	Wait   time.Duration
}

// T is what a check reports to: a *testing.T, or what watches a broken
// adapter.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Check is one thing that an adapter must do.
type Check struct {
	Name string
	Run  func(t T, b *Bench)
}

// Timeout is each request's in the suite. What must time out does so; nothing
// else comes near it.
const Timeout = 400 * time.Millisecond

// patient is the timeout of checks that wait for none.
const patient = 30 * time.Second

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

// Bench is one adapter before one emulated vendor that serves nothing else.
type Bench struct {
	Harness
	Adapter  adapters.Adapter // with a long timeout
	Hasty    adapters.Adapter // with a short one
	Vendor   sandbox.Emulator
	Cred     adapters.Credential // of an account with the seeds
	Empty    adapters.Credential // of an account without agents
	Stranger adapters.Credential // of no account
	server   *httptest.Server
	clients  []*upstream.Client
}

// BackendName is what the suite calls its backend.
const BackendName = "backend-1"

// Keys of the accounts; no answer of the adapter may hold one.
const (
	seededKey  = "canary-seeded-7d1f"
	emptyKey   = "canary-empty-93ab"
	unknownKey = "canary-unknown-c20e"
)

// NewBench starts the emulator and makes the adapter.
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
	b.Adapter = b.adapter(patient)
	b.Hasty = b.adapter(Timeout)
	return b
}

// maxBody is small enough that a check can send more.
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

// Close stops the emulator and reports what it was asked that the vendor does
// not document.
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

// info is the vendor's capability table.
func (b *Bench) info() *adapters.Info { return b.Provider.Info }

// native reports whether the vendor itself has the operation.
func (b *Bench) native(op adapters.Operation) bool {
	return b.info().Operations[op] == adapters.Native
}

// operations are all of the adapter's, as calls that are alike.
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

// parse reads a body of the harness, which is right or the harness is wrong.
func parse(body string) normalize.Change {
	parsed, violations, err := normalize.ParseBody([]byte(body))
	if err != nil || len(violations) > 0 {
		panic(fmt.Sprintf("the harness's body is not valid: %v %v: %s", err, violations, body))
	}
	return parsed.Change
}

// list reads all agents of the credential, or ends the check.
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

// read is one agent in as full a view as there is: the get, or the list's row.
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

// requests counts what the vendor has received since the last call.
func (b *Bench) requests() int {
	n := len(b.Vendor.Control().Requests())
	b.Vendor.Control().Forget()
	return n
}

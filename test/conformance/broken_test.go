package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/krosai"
	"github.com/agentgw/agentgw/adapters/talkifai"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
	krosaisandbox "github.com/agentgw/agentgw/sandbox/krosai"
	talkifaisandbox "github.com/agentgw/agentgw/sandbox/talkifai"
	"github.com/agentgw/agentgw/test/conformance"
)

// good is an adapter that passes; each broken one is it with one mistake.
var good = conformance.Harness{
	Provider: krosai.Provider,
	Emulator: func() sandbox.Emulator { return krosaisandbox.New() },
	Seeds: []json.RawMessage{
		seed("k1", "First"), seed("k2", "Second"),
	},
	Many: func(n int) []json.RawMessage {
		var agents []json.RawMessage
		for i := range n {
			agents = append(agents, seed(fmt.Sprintf("many%d", i), "Agent"))
		}
		return agents
	},
	Missing: "nobody",
	Creates: map[string]string{"agent": `{"name": "New", "description": "d", "system_prompt": "p", "language": "fr", "voice": {"id": "echo"}, "tts": {"provider": "t"},
		"stt": {"provider": "s"}, "model": {"id": "m"}, "knowledge_base_ids": ["kb-1", "kb-2"]}`},
	Update: `{"name": "Changed", "description": "D", "system_prompt": "P", "language": "de", "voice": {"id": "onyx"}, "tts": {"provider": "T"},
		"stt": {"provider": "S"}, "model": {"id": "M"}, "knowledge_base_ids": []}`,
	Errors: []conformance.DocumentedError{{Status: 404, Body: `{"detail": "Agent not found"}`, Kind: normalize.KindNotFound}},
}

func seed(id, name string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id": %q, "name": %q, "description": "d", "system_prompt": "p", "language": "en", "voice_id": "v", "tts_provider": "t", "stt_provider": "s",
		"llm_model": "m", "knowledge_base_ids": ["kb"], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`, id, name))
}

func TestRun_GoodAdapter(t *testing.T) { conformance.Run(t, good) }

// TestRun_BrokenAdapters tests that each mistake fails the check for it.
func TestRun_BrokenAdapters(t *testing.T) {
	for _, b := range []struct {
		mistake string
		check   string
		make    func(conformance.Harness) conformance.Harness
	}{
		{"drops what it does not know", "unknown members ride along", listing(func(l *adapters.Listing) {
			for _, a := range l.Agents {
				a.Extensions = nil
			}
		})},
		{"leaves the last agent out", "list shows every agent once", listing(func(l *adapters.Listing) { l.Agents = l.Agents[:max(0, len(l.Agents)-1)] })},
		{"shows an agent twice", "list shows every agent once", listing(func(l *adapters.Listing) {
			if len(l.Agents) > 1 {
				l.Agents[1] = l.Agents[0]
			}
		})},
		{"changes a value on the way", "get shows what list shows", listing(func(l *adapters.Listing) {
			for _, a := range l.Agents {
				name := strings.ToUpper(*a.Name)
				a.Name = &name
			}
		})},
		{"claims a field that is never shown", "fields are shown as declared", declaring(func(i *adapters.Info) {
			i.Rules = append(i.Rules, adapters.Rule{Field: normalize.FieldGreeting, In: adapters.InList})
		})},
		{"does not require what the vendor requires", "create requires what is declared", declaring(func(i *adapters.Info) {
			i.Rules[0].RequiredFor = nil
		})},
		{"sends what it declares not to have", "undeclared operations send nothing", declaring(func(i *adapters.Info) {
			i.Operations[adapters.OpDelete] = adapters.None
		})},
		{"calls a missing agent a bad answer", "a missing agent is not found", failing(func(_ adapters.Credential, err error) error {
			if normalize.KindOf(err) == normalize.KindNotFound {
				return &normalize.Error{Kind: normalize.KindBadResponse}
			}
			return err
		})},
		{"shows the credential in an error", "documented errors have their kind", failing(func(cred adapters.Credential, err error) error {
			if failure, ok := errors.AsType[*normalize.Error](err); ok {
				failure.Message = "with " + cred.Reveal()
			}
			return err
		})},
		{"takes an answer it cannot read for an empty list", "broken answers have their kind", failing(func(_ adapters.Credential, err error) error {
			if normalize.KindOf(err) == normalize.KindBadResponse {
				return nil
			}
			return err
		})},
		{"goes on when it is cancelled", "a cancelled call sends nothing", exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error { return next(context.WithoutCancel(ctx), req) }
		})},
		{"sends a write again", "writes are sent once", exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				err := next(ctx, req)
				if req.Method != "GET" && err != nil {
					return next(ctx, req)
				}
				return err
			}
		})},
		{"puts the credential into the URL", "credentials go where they belong", exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				req.Path += "?api_key=" + req.Credential.Reveal()
				return next(ctx, req)
			}
		})},
		{"sends a header of its own", "credentials go where they belong", exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				req.Header.Set("X-Forwarded-For", "203.0.113.7")
				return next(ctx, req)
			}
		})},
		{"does not escape an id", "strange ids stay inside their segment", exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
			return func(ctx context.Context, req *adapters.Request) error {
				req.Path = strings.ReplaceAll(req.Path, "%2F", "/")
				return next(ctx, req)
			}
		})},
		{"keeps one credential's list for all", "each credential sees its own", remembering()},
		{"writes everything when it changes one thing", "update changes what it is told and nothing else", updating(func(c normalize.Change) normalize.Change {
			c = c.Without(normalize.FieldDescription)
			c.Set[normalize.FieldDescription] = jsontext.Value(`"overwritten"`)
			return c
		})},
		{"loses a field on the way out", "create keeps every field", creating(func(c normalize.Change) normalize.Change { return c.Without(normalize.FieldLanguage) })},
		{"reads one page only", "list ends where the vendor's does", firstPageOnly},
	} {
		t.Run(b.mistake, func(t *testing.T) {
			t.Parallel()
			if len(reports(t, b.check, b.make(good))) == 0 {
				t.Errorf("the check %q passes", b.check)
			}
		})
	}
}

// reports runs one check and returns what it says.
func reports(t *testing.T, check string, h conformance.Harness) []string {
	t.Helper()
	for _, c := range conformance.Checks() {
		if c.Name != check {
			continue
		}
		w := &watcher{}
		done := make(chan struct{})
		go func() { // Fatalf ends it
			defer close(done)
			b := conformance.NewBench(h)
			defer b.Close(w)
			c.Run(w, b)
		}()
		<-done
		return w.said
	}
	t.Fatalf("there is no check %q", check)
	return nil
}

// watcher notes what a check reports.
type watcher struct {
	mu   sync.Mutex
	said []string
}

func (*watcher) Helper() {}

func (w *watcher) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *watcher) Fatalf(format string, args ...any) {
	w.Errorf(format, args...)
	runtime.Goexit()
}

// broken wraps the good adapter.
type broken struct {
	adapters.Adapter
	list   func(adapters.Credential, adapters.Listing, error) (adapters.Listing, error)
	fail   func(adapters.Credential, error) error
	create func(normalize.Change) normalize.Change
	update func(normalize.Change) normalize.Change
}

func (b *broken) List(ctx context.Context, cred adapters.Credential) (adapters.Listing, error) {
	l, err := b.Adapter.List(ctx, cred)
	if b.list != nil {
		return b.list(cred, l, err)
	}
	return l, b.failed(cred, err)
}

func (b *broken) Get(ctx context.Context, cred adapters.Credential, id string) (*normalize.Agent, error) {
	a, err := b.Adapter.Get(ctx, cred, id)
	return a, b.failed(cred, err)
}

func (b *broken) Create(ctx context.Context, cred adapters.Credential, c normalize.Change) (*normalize.Agent, error) {
	if b.create != nil {
		c = b.create(c)
	}
	return b.Adapter.Create(ctx, cred, c)
}

func (b *broken) Update(ctx context.Context, cred adapters.Credential, id string, c normalize.Change) error {
	if b.update != nil && len(c.Set) > 0 {
		c = b.update(c)
	}
	return b.Adapter.Update(ctx, cred, id, c)
}

func (b *broken) failed(cred adapters.Credential, err error) error {
	if b.fail != nil && err != nil {
		return b.fail(cred, err)
	}
	return err
}

type mistake = func(conformance.Harness) conformance.Harness

// wrapping makes a provider whose adapters are wrapped.
func wrapping(wrap func(adapters.Adapter) adapters.Adapter) mistake {
	return func(h conformance.Harness) conformance.Harness {
		make := h.Provider.New
		h.Provider.New = func(s adapters.Settings) adapters.Adapter { return wrap(make(s)) }
		return h
	}
}

func listing(spoil func(*adapters.Listing)) mistake {
	return wrapping(func(a adapters.Adapter) adapters.Adapter {
		return &broken{Adapter: a, list: func(_ adapters.Credential, l adapters.Listing, err error) (adapters.Listing, error) {
			if err == nil {
				spoil(&l)
			}
			return l, err
		}}
	})
}

func failing(fail func(adapters.Credential, error) error) mistake {
	return wrapping(func(a adapters.Adapter) adapters.Adapter { return &broken{Adapter: a, fail: fail} })
}

func creating(spoil func(normalize.Change) normalize.Change) mistake {
	return wrapping(func(a adapters.Adapter) adapters.Adapter { return &broken{Adapter: a, create: spoil} })
}

func updating(spoil func(normalize.Change) normalize.Change) mistake {
	return wrapping(func(a adapters.Adapter) adapters.Adapter { return &broken{Adapter: a, update: spoil} })
}

func remembering() mistake {
	return wrapping(func(a adapters.Adapter) adapters.Adapter {
		var once sync.Once
		var first adapters.Listing
		return &broken{Adapter: a, list: func(_ adapters.Credential, l adapters.Listing, err error) (adapters.Listing, error) {
			once.Do(func() { first = l })
			return first, err
		}}
	})
}

func exchanging(spoil func(adapters.RoundTrip) adapters.RoundTrip) mistake {
	return func(h conformance.Harness) conformance.Harness {
		make := h.Provider.New
		h.Provider.New = func(s adapters.Settings) adapters.Adapter {
			s.RoundTrip = spoil(s.RoundTrip)
			return make(s)
		}
		return h
	}
}

func declaring(spoil func(*adapters.Info)) mistake {
	return func(h conformance.Harness) conformance.Harness {
		info := *h.Provider.Info
		info.Rules = append([]adapters.Rule(nil), info.Rules...)
		info.Operations = map[adapters.Operation]adapters.Support{}
		for op, s := range h.Provider.Info.Operations {
			info.Operations[op] = s
		}
		spoil(&info)
		h.Provider.Info = &info
		return h
	}
}

// firstPageOnly is talkifai's adapter with every page said to be the last.
func firstPageOnly(conformance.Harness) conformance.Harness {
	h := conformance.Harness{
		Provider: talkifai.Provider,
		Emulator: func() sandbox.Emulator { return talkifaisandbox.New() },
		Many: func(n int) []json.RawMessage {
			var agents []json.RawMessage
			for i := range n {
				agents = append(agents, talkifaiSeed(fmt.Sprintf("t%d", i)))
			}
			return agents
		},
		Seeds: []json.RawMessage{talkifaiSeed("t")},
	}
	return exchanging(func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			decode := req.Decode
			req.Decode = func(r adapters.Response) error {
				r.Body = []byte(strings.ReplaceAll(string(r.Body), `"hasNext":true`, `"hasNext":false`))
				return decode(r)
			}
			return next(ctx, req)
		}
	})(h)
}

func talkifaiSeed(id string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id": %q, "name": "Agent", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "mode": "private", "createdAt": "2024-01-10T09:00:00Z", "updatedAt": "2024-01-10T09:00:00Z"}`, id))
}

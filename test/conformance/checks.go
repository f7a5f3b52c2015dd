package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

// Checks is the suite.
func Checks() []Check {
	return []Check{
		{"list shows every agent once", listShowsEveryAgent},
		{"list ends where the vendor's does", listEnds},
		{"get shows what list shows", getShowsWhatListShows},
		{"fields are shown as declared", fieldsAsDeclared},
		{"unknown members ride along", unknownMembers},
		{"undeclared operations send nothing", undeclaredOperations},
		{"create keeps every field", createKeepsEveryField},
		{"create requires what is declared", createRequires},
		{"update changes what it is told and nothing else", updateChanges},
		{"delete is for good", deleteIsForGood},
		{"a missing agent is not found", missingAgent},
		{"strange ids stay inside their segment", strangeIDs},
		{"documented errors have their kind", documentedErrors},
		{"broken answers have their kind", brokenAnswers},
		{"a cancelled call sends nothing", cancelledCall},
		{"a caller who leaves is not waited for", leavingCaller},
		{"writes are sent once", writesOnce},
		{"a write's answer is read", writesNeedAnAnswer},
		{"credentials go where they belong", credentialPlace},
		{"each credential sees its own", credentialsApart},
		{"concurrent calls do not disturb each other", concurrentCalls},
	}
}

func listShowsEveryAgent(t T, b *Bench) {
	agents := b.list(t, b.Cred)
	if len(agents) != len(b.Seeds) {
		t.Fatalf("%d agents, want %d", len(agents), len(b.Seeds))
	}
	seen := map[string]bool{}
	for _, a := range agents {
		if seen[a.NativeID] {
			t.Errorf("%s is there twice", a.ID)
		}
		seen[a.NativeID] = true
		checkIdentity(t, b, a, normalize.ViewBasic)
		if len(a.RawList) == 0 {
			t.Errorf("%s has no raw row", a.ID)
		}
	}
	if none := b.list(t, b.Empty); len(none) != 0 {
		t.Errorf("an empty account has %d agents", len(none))
	}
}

func checkIdentity(t T, b *Bench, a *normalize.Agent, view normalize.View) {
	t.Helper()
	if a.Object != "agent" || a.Backend != BackendName || a.Provider != b.info().Provider || a.View != view {
		t.Errorf("object %q, backend %q, provider %q, view %q", a.Object, a.Backend, a.Provider, a.View)
	}
	if id, err := normalize.ParseID(a.ID); err != nil || id.Backend != BackendName || id.Native != a.NativeID {
		t.Errorf("the id %q is not that of %q", a.ID, a.NativeID)
	}
	if a.Modality == nil || a.AlternateIDs == nil {
		t.Errorf("%s: modality or alternate_ids is null", a.ID)
	}
	if _, err := a.Encode(normalize.Form{WithSets: true, WithRaw: true}); err != nil {
		t.Errorf("%s cannot be encoded: %v", a.ID, err)
	}
}

func listEnds(t T, b *Bench) {
	for _, n := range []int{1, 99, 100, 101, 200, 250} {
		key := fmt.Sprintf("canary-many-%d", n)
		b.Vendor.Seed(key, b.Many(n)...)
		if got := len(b.list(t, credential(key))); got != n {
			t.Errorf("%d agents, want %d", got, n)
		}
	}
}

func getShowsWhatListShows(t T, b *Bench) {
	if !b.native(adapters.OpGet) {
		return
	}
	for _, row := range b.list(t, b.Cred) {
		full := b.read(t, b.Cred, row.NativeID)
		checkIdentity(t, b, full, normalize.ViewFull)
		if len(full.RawDetail) == 0 {
			t.Errorf("%s has no raw detail", full.ID)
		}
		for _, f := range normalize.AllFields() {
			if f == normalize.FieldExtensions || !normalize.Optional.Has(f) || (row.NotLoaded | full.NotLoaded).Has(f) {
				continue
			}
			if !normalize.Equal(row.Value(f), full.Value(f)) {
				t.Errorf("%s %s: the list has %s, the get %s", row.ID, f, row.Value(f), full.Value(f))
			}
		}
	}
}

// fieldsAsDeclared holds the table against what is shown, both ways.
func fieldsAsDeclared(t T, b *Bench) {
	rows := b.list(t, b.Cred)
	check := func(agents []*normalize.Agent, in adapters.Ops, view string) {
		declared := b.info().Shown(in)
		for _, f := range normalize.AllFields() {
			if !normalize.Optional.Has(f) {
				continue
			}
			filled := slices.ContainsFunc(agents, func(a *normalize.Agent) bool { return a.Value(f).Kind() != 'n' })
			if filled != declared.Has(f) {
				t.Errorf("%s: %s is shown: %v, declared: %v", view, f, filled, declared.Has(f))
			}
		}
		for _, a := range agents {
			if want := b.info().Unavailable(); a.Unavailable != want {
				t.Errorf("%s: %s is without %v, declared without %v", view, a.ID, a.Unavailable.Names(), want.Names())
			}
			if want := b.info().NotLoaded(in); a.NotLoaded != want {
				t.Errorf("%s: %s has not loaded %v, declared %v", view, a.ID, a.NotLoaded.Names(), want.Names())
			}
		}
	}
	check(rows, adapters.InList, "list")
	if !b.native(adapters.OpGet) {
		return
	}
	var full []*normalize.Agent
	for _, row := range rows {
		full = append(full, b.read(t, b.Cred, row.NativeID))
	}
	check(full, adapters.InGet, "get")
}

// unknownMembers: what a vendor adds tomorrow shows up without a release.
func unknownMembers(t T, b *Bench) {
	const member, value = "x_tomorrow", `{"Deep":[9007199254740993,345.50,{"KEY":null}]}`
	id := b.list(t, b.Cred)[0].NativeID
	b.Vendor.Control().Fail(sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"name":`), []byte(`"`+member+`":`+value+`,"name":`))
	}})
	for _, a := range append(b.list(t, b.Cred), b.read(t, b.Cred, id)) {
		if got := a.Extension(member); string(got) != value {
			t.Errorf("%s: the extension is %s, want %s", a.ID, got, value)
		}
	}
}

func undeclaredOperations(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	b.requests()
	for op, call := range b.operations(b.Adapter, b.Cred, id) {
		if b.native(op) {
			continue
		}
		if err := call(context.Background()); normalize.KindOf(err) != normalize.KindUnsupported {
			t.Errorf("%s: %v, want unsupported", op, err)
		}
		if n := b.requests(); n != 0 {
			t.Errorf("%s sent %d requests", op, n)
		}
	}
}

func createKeepsEveryField(t T, b *Bench) {
	if !b.native(adapters.OpCreate) {
		return
	}
	set := normalize.FieldSet(0)
	for name, body := range b.Creates {
		change := parse(body)
		if wrong := b.info().CheckCreate(change); len(wrong) > 0 {
			t.Fatalf("%s: the table refuses the harness's own body: %v", name, wrong)
		}
		created, err := b.Adapter.Create(context.Background(), b.Empty, change)
		if err != nil {
			t.Fatalf("%s: Create: %v", name, err)
		}
		agent := b.read(t, b.Empty, created.NativeID)
		for f, want := range change.Set {
			set = set.With(f)
			if got := agent.Value(f); !normalize.Equal(got, want) {
				t.Errorf("%s: %s = %s, want %s", name, f, got, want)
			}
		}
		for extension, want := range change.Extensions {
			if got := agent.Extension(extension); !normalize.Equal(got, want) {
				t.Errorf("%s: extension %s = %s, want %s", name, extension, got, want)
			}
		}
	}
	if declared := b.info().Shown(adapters.InCreate); set != declared {
		t.Errorf("the harness sets %v, declared for create are %v", set.Names(), declared.Names())
	}
}

// createRequires holds what is declared as required against the vendor, both
// ways: without it the vendor refuses, and without anything else it does not.
func createRequires(t T, b *Bench) {
	if !b.native(adapters.OpCreate) {
		return
	}
	for name, body := range b.Creates {
		full := parse(body)
		for f := range full.Set {
			without := full.Without(f)
			declared := len(b.info().CheckCreate(without)) > 0
			_, err := b.Adapter.Create(context.Background(), b.Empty, without)
			refused := normalize.KindOf(err) == normalize.KindRejected
			if err != nil && !refused {
				t.Errorf("%s without %s: %v", name, f, err)
			}
			if declared != refused {
				t.Errorf("%s without %s: refused %v, declared required %v", name, f, refused, declared)
			}
		}
	}
}

func updateChanges(t T, b *Bench) {
	if !b.native(adapters.OpUpdate) {
		return
	}
	id := b.list(t, b.Cred)[0].NativeID
	whole := b.update()
	if wrong, _ := b.info().CheckUpdate(whole, false); len(wrong) > 0 {
		t.Fatalf("the table refuses the harness's own patch: %v", wrong)
	}
	set := normalize.FieldSet(0)
	for f, want := range whole.Set {
		set = set.With(f)
		b.changeOne(t, id, normalize.Change{Set: map[normalize.Field]valueOf{f: want}})
	}
	for name, want := range whole.Extensions {
		b.changeOne(t, id, normalize.Change{Extensions: map[string]valueOf{name: want}})
	}
	if declared := b.info().Shown(adapters.InUpdate); set != declared {
		t.Errorf("the harness sets %v, declared for update are %v", set.Names(), declared.Names())
	}
}

// changeOne makes a change of one field and looks at all.
func (b *Bench) changeOne(t T, id string, change normalize.Change) {
	t.Helper()
	before := b.read(t, b.Cred, id)
	if err := b.Adapter.Update(context.Background(), b.Cred, id, change); err != nil {
		t.Errorf("Update %v: %v", change, err)
		return
	}
	after := b.read(t, b.Cred, id)
	for _, f := range normalize.AllFields() {
		if f == normalize.FieldExtensions || f == normalize.FieldUpdatedAt {
			continue
		}
		want, changed := change.Set[f]
		if !changed {
			want = before.Value(f)
		}
		// The voice follows the avatar at vendors that join them.
		if _, avatar := change.Set[normalize.FieldAvatarID]; avatar && f == normalize.FieldVoiceID {
			continue
		}
		if got := after.Value(f); !normalize.Equal(got, want) {
			t.Errorf("after %v: %s = %s, want %s", change, f, got, want)
		}
	}
	want := normalize.Members(before.Extensions)
	maps.Copy(want, change.Extensions)
	have := normalize.Members(after.Extensions)
	for name, value := range want {
		if !normalize.Equal(have[name], value) {
			t.Errorf("after %v: extension %s = %s, want %s", change, name, have[name], value)
		}
	}
}

func deleteIsForGood(t T, b *Bench) {
	if !b.native(adapters.OpDelete) {
		return
	}
	agents := b.list(t, b.Cred)
	id := agents[0].NativeID
	if err := b.Adapter.Delete(context.Background(), b.Cred, id); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := b.Adapter.Get(context.Background(), b.Cred, id); normalize.KindOf(err) != normalize.KindNotFound {
		t.Errorf("Get of a deleted agent: %v", err)
	}
	if err := b.Adapter.Delete(context.Background(), b.Cred, id); normalize.KindOf(err) != normalize.KindNotFound {
		t.Errorf("Delete of a deleted agent: %v", err)
	}
	if left := len(b.list(t, b.Cred)); left != len(agents)-1 {
		t.Errorf("%d agents are left of %d", left, len(agents))
	}
}

func missingAgent(t T, b *Bench) {
	for op, call := range b.operations(b.Adapter, b.Cred, b.Missing) {
		if op == adapters.OpList || op == adapters.OpCreate || !b.native(op) {
			continue
		}
		if err := call(context.Background()); normalize.KindOf(err) != normalize.KindNotFound {
			t.Errorf("%s: %v, want not_found", op, err)
		}
	}
}

// strangeIDs: an id is one segment of a path, whatever is in it. The emulator
// reports every path that the vendor does not have.
func strangeIDs(t T, b *Bench) {
	for _, id := range []string{"", ".", "..", "../agents", "a/b", "a%2Fb", "%2e%2e", "a?b=c", "a#b", "a b", "ä", ":", "~", "\\", "\r\nX-Injected: 1", strings.Repeat("x", 300)} {
		for op, call := range b.operations(b.Adapter, b.Cred, id) {
			if op == adapters.OpList || op == adapters.OpCreate || !b.native(op) {
				continue
			}
			if err := call(context.Background()); normalize.KindOf(err) != normalize.KindNotFound {
				t.Errorf("%s %q: %v, want not_found", op, id, err)
			}
		}
	}
	for _, r := range b.Vendor.Control().Requests() {
		if r.Header.Get("X-Injected") != "" {
			t.Errorf("an id became a header")
		}
	}
}

func documentedErrors(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	for _, e := range b.Errors {
		for op, call := range b.operations(b.Adapter, b.Cred, id) {
			if !b.native(op) {
				continue
			}
			b.Vendor.Control().Forget()
			b.Vendor.Control().Fail(sandbox.Fault{Status: e.Status, Header: e.Header, Body: e.Body})
			err := call(context.Background())
			failure, ok := errors.AsType[*normalize.Error](err)
			want := e.Kind
			if e.Status == 404 && (op == adapters.OpList || op == adapters.OpCreate) {
				want = normalize.KindNoRoute // no agent was named that could be missing
			}
			if !ok || failure.Kind != want || failure.Status != e.Status || failure.Code != e.Code || failure.RetryAfter != e.Wait {
				t.Errorf("%s, %d %s: got %#v, want %s %q %s", op, e.Status, e.Body, err, want, e.Code, e.Wait)
				continue
			}
			checkQuiet(t, err, e.Body)
		}
	}
	b.Vendor.Control().Forget()
	if _, err := b.Adapter.List(context.Background(), b.Stranger); normalize.KindOf(err) != normalize.KindAuth {
		t.Errorf("an unknown credential: %v, want auth", err)
	}
}

// checkQuiet: no error holds a credential or a sentence of the backend's.
func checkQuiet(t T, err error, body string) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			if strings.Contains(text, "canary") {
				t.Errorf("an error shows a credential: %s", text)
			}
			for _, quoted := range strings.Split(body, `"`) {
				if len(quoted) > 8 && strings.Contains(quoted, " ") && strings.Contains(text, quoted) {
					t.Errorf("an error quotes the backend: %s", text)
				}
			}
		}
	}
}

func brokenAnswers(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	f := func(name string, fault sandbox.Fault, reads normalize.Kind) {
		b.Vendor.Control().Forget()
		b.Vendor.Control().Fail(fault)
		for op, call := range b.operations(b.Hasty, b.Cred, id) {
			if !b.native(op) || op != adapters.OpList && op != adapters.OpGet {
				continue
			}
			err := call(context.Background())
			if normalize.KindOf(err) != reads || err == nil {
				t.Errorf("%s, %s: %v, want %s", name, op, err, reads)
			}
			checkQuiet(t, err, fault.Body)
		}
	}
	big := strings.Repeat(" ", maxBody) + "[]"
	f("not JSON", sandbox.Fault{Status: 200, Body: "oops"}, normalize.KindBadResponse)
	f("HTML", sandbox.Fault{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>502 from a proxy</html>"}, normalize.KindBadResponse)
	f("empty", sandbox.Fault{Status: 200}, normalize.KindBadResponse)
	f("null", sandbox.Fault{Status: 200, Body: "null"}, normalize.KindBadResponse)
	f("a number", sandbox.Fault{Status: 200, Body: "7"}, normalize.KindBadResponse)
	f("other JSON", sandbox.Fault{Status: 200, Body: `{"hello": "some text"}`}, normalize.KindBadResponse)
	f("a name that is no text", sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"name":"`), []byte(`"name":7,"_":"`))
	}}, normalize.KindBadResponse)
	f("half of a body", sandbox.Fault{Cut: true}, normalize.KindCut)
	f("half of the JSON", sandbox.Fault{Change: func(body []byte) []byte { return body[:len(body)/2] }}, normalize.KindBadResponse)
	f("too much", sandbox.Fault{Status: 200, Body: big}, normalize.KindTooLarge)
	f("a name that holds another type", sandbox.Fault{Change: func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"name":"`), []byte(`"name":[],"_":"`))
	}}, normalize.KindBadResponse)
	f("a redirect", sandbox.Fault{Status: 302, Header: map[string]string{"Location": "/elsewhere"}}, normalize.KindRedirect)
	f("a broken connection", sandbox.Fault{Reset: true}, normalize.KindReset)
	f("silence", sandbox.Fault{Hang: true}, normalize.KindTimeout)
	f("a dripping body", sandbox.Fault{Drip: Timeout / 20}, normalize.KindBodyTimeout)
}

func cancelledCall(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	b.requests()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for op, call := range b.operations(b.Adapter, b.Cred, id) {
		if !b.native(op) {
			continue
		}
		if err := call(ctx); normalize.KindOf(err) != normalize.KindCanceled {
			t.Errorf("%s: %v, want canceled", op, err)
		}
		if n := b.requests(); n != 0 {
			t.Errorf("%s sent %d requests", op, n)
		}
	}
}

func leavingCaller(t T, b *Bench) {
	b.Vendor.Control().Fail(sandbox.Fault{Hang: true})
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() {
		_, err := b.Adapter.List(ctx, b.Cred)
		answered <- err
	}()
	waitFor(t, "the request to arrive", func() bool { return len(b.Vendor.Control().Requests()) > 0 })
	cancel()
	select {
	case err := <-answered:
		if normalize.KindOf(err) != normalize.KindCanceled {
			t.Errorf("%v, want canceled", err)
		}
	case <-time.After(patient / 2):
		t.Fatalf("List goes on after its caller left")
	}
}

// writesOnce counts at the vendor: a write that may have arrived is never sent
// again.
func writesOnce(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	for name, fault := range map[string]sandbox.Fault{
		"500": {Status: 500}, "503": {Status: 503}, "429": {Status: 429}, "reset": {Reset: true}, "silence": {Hang: true}, "cut": {Cut: true, Status: 200, Body: `{"success":true}`},
	} {
		for op, call := range b.operations(b.Hasty, b.Cred, id) {
			if !b.native(op) || op == adapters.OpList || op == adapters.OpGet {
				continue
			}
			// A connection that has served before is the one that an HTTP
			// client is tempted to replay on.
			b.Vendor.Control().Heal()
			b.list(t, b.Cred)
			b.requests()
			b.Vendor.Control().Fail(fault)
			if err := call(context.Background()); err == nil && name != "cut" {
				t.Errorf("%s, %s: no error", op, name)
			}
			if n := b.requests(); n != 1 {
				t.Errorf("%s, %s: sent %d times", op, name, n)
			}
		}
	}
}

// writesNeedAnAnswer: a page of HTML where the vendor's JSON should be is no
// word that a write was done.
func writesNeedAnAnswer(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	b.Vendor.Control().Fail(sandbox.Fault{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>a login page</html>"})
	for op, call := range b.operations(b.Adapter, b.Cred, id) {
		if !b.native(op) || op == adapters.OpList || op == adapters.OpGet {
			continue
		}
		if err := call(context.Background()); normalize.KindOf(err) != normalize.KindBadResponse || err == nil {
			t.Errorf("%s: %v, want bad_response", op, err)
		}
	}
}

// allowedHeaders is all that goes out beside the credential's own.
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

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

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
	if row, err := a.Row(); err != nil {
		t.Errorf("%s cannot be encoded: %v", a.ID, err)
	} else if back, err := row.Agent(); err != nil {
		t.Errorf("the row of %s cannot be read: %v", a.ID, err)
	} else if again, err := back.Row(); err != nil || string(again) != string(row) {
		t.Errorf("the row of %s is read as another agent: %v", a.ID, err)
	} else if encoded := jsontext.Value(row.AppendWithRaw(nil, a.Ending(), a.RawList, a.RawDetail)); !encoded.IsValid() {
		t.Errorf("%s is not written as JSON: %s", a.ID, encoded)
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

// fieldsAsDeclared checks the capability table both ways: declared fields are there, others are
// not.
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

// unknownMembers checks that members that a provider adds appear in extensions.
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

// strangeIDs checks that an id is one segment of the path, whatever it contains. The emulator
// reports every path that the provider does not have.
func strangeIDs(t T, b *Bench) {
	for _, id := range []string{"", ".", "..", "../agents", "a/b", "a%2Fb", "%2e%2e", "a?b=c", "a#b", "a b", "ä", ":", "~", "\\", "\r\nX-Injected: 1", strings.Repeat("x", 300)} {
		if form := b.info().NativeIDs; form != nil && !form.MatchString(id) {
			continue // the gateway does not send it, and the provider's lists do not have it
		}
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

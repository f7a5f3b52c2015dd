package conformance

import (
	"context"
	"maps"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

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

// createRequires checks the required fields both ways: the provider refuses a create without
// one, and accepts a create without any other.
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

// changeOne updates one field and checks all.
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
		// The voice follows the avatar at providers that join them.
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

// writesOnce checks that a write that may have arrived is not sent again.
func writesOnce(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	for name, fault := range map[string]sandbox.Fault{
		"500": {Status: 500}, "503": {Status: 503}, "429": {Status: 429}, "reset": {Reset: true}, "silence": {Hang: true}, "cut": {Cut: true, Status: 200, Body: `{"success":true}`},
	} {
		a := b.Adapter
		if fault.Hang {
			a = b.Hasty
		}
		for op, call := range b.operations(a, b.Cred, id) {
			if !b.native(op) || op == adapters.OpList || op == adapters.OpGet {
				continue
			}
			// HTTP clients may repeat a request on a connection that served another before.
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

// writesNeedAnAnswer checks that an HTML page instead of the provider's JSON does not count as
// a successful write.
func writesNeedAnAnswer(t T, b *Bench) {
	id := b.list(t, b.Cred)[0].NativeID
	b.Vendor.Control().Fail(sandbox.Fault{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>a login page</html>"})
	for op, call := range b.operations(b.Adapter, b.Cred, id) {
		if !b.native(op) || op == adapters.OpList || op == adapters.OpGet {
			continue
		}
		err := call(context.Background())
		if op == adapters.OpDelete { // any 2xx is done
			if err != nil {
				t.Errorf("delete: %v", err)
			}
			continue
		}
		if normalize.KindOf(err) != normalize.KindBadResponse || err == nil {
			t.Errorf("%s: %v, want bad_response", op, err)
		}
	}
}

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

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

// checkQuiet checks that an error contains neither a credential nor the provider's text.
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
	check := func(a adapters.Adapter, name string, fault sandbox.Fault, want normalize.Kind) {
		b.Vendor.Control().Forget()
		b.Vendor.Control().Fail(fault)
		for op, call := range b.operations(a, b.Cred, id) {
			if !b.native(op) || op != adapters.OpList && op != adapters.OpGet {
				continue
			}
			err := call(context.Background())
			if normalize.KindOf(err) != want || err == nil {
				t.Errorf("%s, %s: %v, want %s", name, op, err, want)
			}
			checkQuiet(t, err, fault.Body)
		}
	}
	f := func(name string, fault sandbox.Fault, want normalize.Kind) { check(b.Adapter, name, fault, want) }
	big := strings.Repeat(" ", maxBody) + "[]"
	f("not JSON", sandbox.Fault{Status: 200, Body: "oops"}, normalize.KindBadResponse)
	f("HTML", sandbox.Fault{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>502 from a proxy</html>"}, normalize.KindBadResponse)
	f("empty", sandbox.Fault{Status: 200}, normalize.KindBadResponse)
	f("a number", sandbox.Fault{Status: 200, Body: "7"}, normalize.KindWrongShape)
	f("other JSON", sandbox.Fault{Status: 200, Body: `{"hello": "some text"}`}, normalize.KindWrongShape)
	f("failure", sandbox.Fault{Status: 200, Body: `{"success": false, "error": "some text"}`}, normalize.KindFailureReply)
	f("half of a body", sandbox.Fault{Cut: true}, normalize.KindCut)
	f("half of the JSON", sandbox.Fault{Change: func(body []byte) []byte { return body[:len(body)/2] }}, normalize.KindBadResponse)
	f("too much", sandbox.Fault{Status: 200, Body: big}, normalize.KindTooLarge)
	f("a redirect", sandbox.Fault{Status: 302, Header: map[string]string{"Location": "/elsewhere"}}, normalize.KindRedirect)
	f("a broken connection", sandbox.Fault{Reset: true}, normalize.KindReset)
	check(b.Hasty, "silence", sandbox.Fault{Hang: true}, normalize.KindTimeout)
	check(b.Hasty, "a dripping body", sandbox.Fault{Drip: timeout / 20}, normalize.KindBodyTimeout)
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
	waittest.Until(t, "the request to arrive", func() bool { return len(b.Vendor.Control().Requests()) > 0 })
	cancel()
	if err := waittest.Receive(t, "List to end after its caller left", answered); normalize.KindOf(err) != normalize.KindCanceled {
		t.Errorf("%v, want canceled", err)
	}
}

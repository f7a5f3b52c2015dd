package lossless

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Fuzz fuzzes a decoder. Whatever the body is, the result must be agents that have an id and
// can be encoded, or an error that has a kind and does not quote the body.
func Fuzz(f *testing.F, p adapters.Provider, op adapters.Operation, seeds ...string) {
	for _, path := range seeds {
		f.Add(File(f, path))
	}
	f.Add([]byte(`{"success": false, "error": "CANARY"}`))
	f.Add([]byte(`<html>CANARY</html>`))
	f.Add([]byte("{\"agents\": [{\"id\": 1, \"name\": \"\xff\"}]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		agents, err := decode(Answering(p, 200, body), op)
		if err != nil {
			failure, ok := errors.AsType[*normalize.Error](err)
			if !ok || failure.Kind != normalize.KindBadResponse && failure.Kind != normalize.KindWrongShape && failure.Kind != normalize.KindFailureReply {
				t.Fatalf("the error is %T, kind %s: %v", err, normalize.KindOf(err), err)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Fatalf("the error quotes the body: %v", err)
			}
			return
		}
		for _, a := range agents {
			if a.NativeID == "" {
				t.Fatal("an agent without an id")
			}
			row, err := a.Row()
			if err != nil {
				t.Fatalf("an agent cannot be written: %v", err)
			}
			encoded := jsontext.Value(row.AppendWithRaw(nil, a.Ending(), a.RawList, a.RawDetail))
			if !encoded.IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("what is written is not JSON: %s", encoded)
			}
			if id, err := normalize.ParseID(strings.ReplaceAll(a.ID, "%", "%25")); err != nil || id.Native != a.NativeID {
				t.Fatalf("the id %q does not lead back to %q: %v", a.ID, a.NativeID, err)
			}
			if len(Leaves(encoded)) == 0 {
				t.Fatal("an agent without values")
			}
		}
	})
}

func decode(a adapters.Adapter, op adapters.Operation) ([]*normalize.Agent, error) {
	switch op {
	case adapters.OpList:
		listing, err := a.List(context.Background(), Credential())
		return listing.Agents, err
	case adapters.OpGet:
		agent, err := a.Get(context.Background(), Credential(), "1")
		return []*normalize.Agent{agent}, err
	}
	agent, err := a.Create(context.Background(), Credential(), normalize.Change{})
	return []*normalize.Agent{agent}, err
}

package conformance

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
)

// valueOf is a value in a change.
type valueOf = jsontext.Value

func credential(key string) adapters.Credential { return adapters.NewCredential(secret.New(key)) }

// waitFor polls a condition; a check fails if it does not come true.
func waitFor(t T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patient / 2)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // between two looks at the condition
	}
}

package conformance

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
)

// valueOf is the value of a field in a change.
type valueOf = jsontext.Value

func credential(key string) adapters.Credential { return adapters.NewCredential(secret.New(key)) }

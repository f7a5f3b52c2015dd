package main

import (
	"encoding/json"
	"fmt"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
)

type keysCmd struct {
	New keysNewCmd `cmd:"" help:"Make a key: it is shown once, with the YAML to paste."`
}

type keysNewCmd struct {
	ID    string   `required:"" help:"Names the key in the configuration, in logs and in spans."`
	Test  bool     `help:"Make a key for tests (agw_test_) rather than for use (agw_live_)."`
	Scope []string `default:"agents:read,agents:write" enum:"agents:read,agents:write,aliases:write,migrations:write" help:"What the key may do (${enum})."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

func (k *keysNewCmd) Run(a *app) error {
	if !config.ValidKeyID(k.ID) {
		return usageError{fmt.Errorf("--id %q is not 1 to 64 of letters, digits, . _ -", k.ID)}
	}
	environment := apikey.Live
	if k.Test {
		environment = apikey.Test
	}
	key := apikey.New(environment)
	hash := fmt.Sprintf("%x", apikey.Hash(key))
	if k.JSON {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"id": k.ID, "key": key, "sha256": hash, "last4": apikey.Last4(key), "scopes": k.Scope})
	}
	fmt.Fprintf(a.stdout, "%s\n\n", key)
	fmt.Fprintf(a.stdout, "This is the only time the key is shown. Give it to its holder, and put this into config.yaml:\n\n")
	fmt.Fprintf(a.stdout, "keys:\n  - id: %q  # …%s\n    sha256: \"%s\"\n    scopes: [", k.ID, apikey.Last4(key), hash)
	for i, s := range k.Scope {
		if i > 0 {
			fmt.Fprint(a.stdout, ", ")
		}
		fmt.Fprint(a.stdout, s)
	}
	fmt.Fprint(a.stdout, "]\n    credentials:\n      klen: env:KLEN_API_KEY  # one line for each backend that the key shall see\n")
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
)

type keysNew struct {
	ID         string
	Test, JSON bool
	Scope      []string
}

func newKeysNew(a *app) *cobra.Command {
	var f keysNew
	c := newCommand("new --id NAME", "Make a key: it is shown once, with the YAML to paste.", cobra.NoArgs, func([]string) error { return f.run(a) })
	flags := c.Flags()
	flags.StringVar(&f.ID, "id", "", "`NAME` of the key in the configuration, in logs and in spans. Required.")
	flags.BoolVar(&f.Test, "test", false, "Make a key for tests (agw_test_) rather than for use (agw_live_).")
	flags.StringSliceVar(&f.Scope, "scope", []string{"agents:read", "agents:write"}, "What the key may do: `SCOPES` of "+strings.Join(config.Scopes, ", ")+".")
	jsonFlag(c, &f.JSON)
	required(c, "id")
	choices(c, "scope", config.Scopes)
	return c
}

func (k *keysNew) run(a *app) error {
	if k.Scope = given(k.Scope); len(k.Scope) == 0 {
		return usageError{fmt.Errorf("--scope names none; want some of %s", strings.Join(config.Scopes, ", "))}
	}
	for _, s := range k.Scope {
		if err := oneOf("scope", s, config.Scopes); err != nil {
			return err
		}
	}
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
	_, err := fmt.Fprintf(a.stdout, `%s

This is the only time the key is shown. Give it to its holder, and put this
under "keys:" in config.yaml:

  - id: %q # …%s
    sha256: "%s"
    scopes: [%s]
    credentials: # one line for each backend that the key shall see
      klen: env:%s_KLEN_KEY
`, key, k.ID, apikey.Last4(key), hash, strings.Join(k.Scope, ", "), variable(k.ID))
	return err
}

// variable is a key's id as the beginning of an environment variable's name.
func variable(id string) string {
	return strings.ToUpper(regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(id, "_"))
}

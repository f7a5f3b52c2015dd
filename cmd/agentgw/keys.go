package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
)

// keysNew is `agentgw keys new`.
type keysNew struct {
	ID         string
	Test, JSON bool
	Admin      bool
	Scopes     []string
}

func newKeysNew(a *cli.App) *cobra.Command {
	var f keysNew
	c := cli.NewCommand("new --id NAME", "Create a key. Prints it once, with the YAML for the configuration.", cli.NoArgs, func([]string) error { return f.run(a) })
	flags := c.Flags()
	flags.StringVar(&f.ID, "id", "", "`NAME` of the key in the configuration, in logs and in spans. Required.")
	flags.BoolVar(&f.Test, "test", false, "Create a test key (agw_test_) instead of a live key (agw_live_).")
	flags.BoolVar(&f.Admin, "admin", false, "Create a key of the admin listener (agw_admin_). It has no scopes.")
	flags.StringSliceVar(&f.Scopes, "scope", []string{"agents:read", "agents:write"}, "Permissions of the key: `SCOPES` among "+strings.Join(config.Scopes, ", ")+".")
	cli.JSONFlag(c, &f.JSON)
	c.MarkFlagsMutuallyExclusive("admin", "test")
	c.MarkFlagsMutuallyExclusive("admin", "scope")
	cli.RequireFlags(c, "id")
	cli.CompleteValues(c, "scope", config.Scopes)
	return c
}

func (k *keysNew) run(a *cli.App) error {
	if k.Scopes = cli.NonEmpty(k.Scopes); len(k.Scopes) == 0 {
		return cli.UsageErrorf("--scope is empty; want one or more of %s", strings.Join(config.Scopes, ", "))
	}
	for _, s := range k.Scopes {
		if err := cli.CheckValue("scope", s, config.Scopes); err != nil {
			return err
		}
	}
	if !config.ValidKeyID(k.ID) {
		return cli.UsageErrorf("--id %q is not 1 to 64 letters, digits, '.', '_' or '-'", k.ID)
	}
	if k.Admin {
		return k.printAdmin(a)
	}
	environment := apikey.Live
	if k.Test {
		environment = apikey.Test
	}
	key := apikey.New(environment)
	hash := fmt.Sprintf("%x", apikey.Hash(key))
	if k.JSON {
		return a.PrintJSONLine(map[string]any{"id": k.ID, "key": key, "sha256": hash, "last4": apikey.Last4(key), "scopes": k.Scopes})
	}
	_, err := fmt.Fprintf(a.Stdout, `%s

The key is shown only once. Give it to its user, and add this to "keys:" in
config.yaml:

  - id: %q # …%s
    sha256: "%s"
    scopes: [%s]
    credentials: # one line for each backend that the key can see
      klen: env:%s_KLEN_KEY
`, key, k.ID, apikey.Last4(key), hash, strings.Join(k.Scopes, ", "), variablePrefix(k.ID))
	return err
}

// printAdmin prints a new key of the admin listener.
func (k *keysNew) printAdmin(a *cli.App) error {
	key := apikey.New(apikey.Admin)
	hash := fmt.Sprintf("%x", apikey.Hash(key))
	if k.JSON {
		return a.PrintJSONLine(map[string]any{"id": k.ID, "key": key, "sha256": hash, "last4": apikey.Last4(key)})
	}
	_, err := fmt.Fprintf(a.Stdout, `%s

The key is shown only once. Add this to "admin:" in config.yaml:

  keys:
    - id: %q # …%s
      sha256: "%s"

Programs send it as "Authorization: Bearer …". A browser asks for it: enter it as
the password, under any user name.
`, key, k.ID, apikey.Last4(key), hash)
	return err
}

// variablePrefix turns the id of a key into the prefix of an environment variable.
func variablePrefix(id string) string {
	return strings.ToUpper(regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(id, "_"))
}

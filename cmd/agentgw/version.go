package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Set by the Makefile (-ldflags -X).
var (
	version = "dev"
	commit  = "unknown"
)

func newVersion(a *app) *cobra.Command {
	var asJSON bool
	c := newCommand("version", "Print the version.", cobra.NoArgs, func([]string) error {
		if asJSON {
			return json.NewEncoder(a.stdout).Encode(map[string]string{"version": version, "commit": commit, "go": runtime.Version()})
		}
		return printVersion(a)
	})
	jsonFlag(c, &asJSON)
	return c
}

func printVersion(a *app) error {
	_, err := fmt.Fprintln(a.stdout, describeVersion())
	return err
}

func describeVersion() string {
	return fmt.Sprintf("agentgw %s (commit %s, %s)", version, commit, runtime.Version())
}

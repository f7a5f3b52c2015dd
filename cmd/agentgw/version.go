package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// Set by the Makefile (-ldflags -X).
var (
	version = "dev"
	commit  = "unknown"
)

func newVersion(a *cli.App) *cobra.Command {
	var asJSON bool
	c := cli.NewCommand("version", "Print the version.", cli.NoArgs, func([]string) error {
		if asJSON {
			return a.PrintJSONLine(map[string]string{"version": version, "commit": commit, "go": runtime.Version()})
		}
		return printVersion(a)
	})
	cli.JSONFlag(c, &asJSON)
	return c
}

func printVersion(a *cli.App) error {
	_, err := fmt.Fprintf(a.Stdout, "agentgw %s (commit %s, %s)\n", version, commit, runtime.Version())
	return err
}

// Command agentgw is an API gateway for AI agents: one /v1/agents API for several agent
// providers.
//
// This package is the command line: it reads the configuration, assembles the gateway and
// runs it. It must not know any provider; adapters/all lists them.
//
// Begin with newRoot for the commands, then serve and service for the running gateway. The
// migrate commands, which are clients of a running gateway, are in package migratecli.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli"
)

func main() {
	// Libraries log there: net/http, for example, unsolicited responses of a collector.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], &cli.App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}))
}

// run executes a command line and returns the exit code.
func run(args []string, a *cli.App) int {
	root := newRoot(a)
	root.SetArgs(args)
	command, err := root.ExecuteC()
	switch {
	case err == nil:
		return cli.ExitOK
	case cli.IsUsage(err):
		fmt.Fprintf(a.Stderr, "agentgw: %s\nsee: %s --help\n", cli.UsageText(err), command.CommandPath())
		return cli.ExitUsage
	}
	fmt.Fprintf(a.Stderr, "agentgw: %s\n", err)
	return cli.ExitCode(err)
}

// newRoot returns the command tree.
func newRoot(a *cli.App) *cobra.Command {
	cobra.EnableCommandSorting = false // the help lists commands in the order below
	root := cli.NewGroup("agentgw", "API gateway for AI agents: one API for several agent providers.",
		newServe(a),
		newDemo(a),
		cli.NewGroup("keys", "Create gateway keys.", newKeysNew(a)),
		cli.NewGroup("config", "Create or check the configuration, or print its JSON Schema.", newConfigInit(a), newConfigCheck(a), newConfigSchema(a)),
		newBackends(a),
		newHealthcheck(a),
		migratecli.New(a),
		newVersion(a),
	)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		cli.RequireSubcommand(completion) // by default it prints help for an unknown shell
	}
	// Cobra parses the flags of a group before it looks for the command. Report an unknown
	// command rather than its flags.
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if words := c.Flags().Args(); c.HasSubCommands() && len(words) > 0 {
			return cli.UnknownCommand(c, words[0])
		}
		return cli.FlagError(err)
	})
	root.SilenceErrors, root.SilenceUsage = true, true // run prints errors
	showVersion := root.Flags().Bool("version", false, "Print the version and exit.")
	requireCommand := root.RunE
	root.RunE = func(_ *cobra.Command, args []string) error {
		if *showVersion {
			return printVersion(a)
		}
		if len(args) == 0 {
			return root.Help()
		}
		return requireCommand(root, args)
	}
	return root
}

// newHelp returns the help command. Unlike cobra's own, it fails for an unknown command.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command.", DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return cli.UnknownCommand(c, rest[0])
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

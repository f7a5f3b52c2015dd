// Command agentgw is one /v1/agents API over several agent vendors.
//
// This package is the command line: it reads the configuration, assembles the
// gateway and runs it. It must not know any vendor; adapters/all does.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command is given.
type app struct {
	stdout, stderr io.Writer
	environ        []string
}

type cli struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version and exit."`

	Serve    serveCmd    `cmd:"" help:"Run the gateway."`
	Demo     demoCmd     `cmd:"" help:"Run the gateway with the vendors emulated in this process; no account needed."`
	Keys     keysCmd     `cmd:"" help:"Make gateway keys."`
	Config   configCmd   `cmd:"" help:"Check the configuration, or print its JSON Schema."`
	Backends backendsCmd `cmd:"" help:"Show what each backend can do."`
	Migrate  migrateCmd  `cmd:"" help:"Move agents from one backend to another, while clients notice nothing."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	// Libraries write there: net/http what a collector, say, sends unasked.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], &app{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}))
}

// exitCode ends kong's parsing where it would end the process.
type exitCode int

func run(args []string, a *app) (code int) {
	defer func() {
		if p := recover(); p != nil {
			c, ok := p.(exitCode)
			if !ok {
				panic(p)
			}
			code = int(c)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("agentgw"),
		kong.Description("One /v1/agents API over several agent vendors."),
		kong.Writers(a.stdout, a.stderr),
		kong.Vars{"version": describeVersion()},
		kong.Exit(func(code int) { panic(exitCode(code)) }), // --help
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(a.stderr, "agentgw:", err)
		return exitFailed
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.stderr, "agentgw: %s\n", err)
		if parseError, ok := errors.AsType[*kong.ParseError](err); ok {
			fmt.Fprintf(a.stderr, "see: %s --help\n", parseError.Context.Model.Name)
		}
		return exitUsage
	}
	if err := ctx.Run(a); err != nil {
		fmt.Fprintf(a.stderr, "agentgw: %s\n", err)
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return codeOf(err)
	}
	return exitOK
}

// usageError is a flag's value that no configuration or machine could make
// good.
type usageError struct{ error }

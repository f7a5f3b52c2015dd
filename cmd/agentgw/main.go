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
	"strings"
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

// getenv is an environment variable, "" if it is not set.
func (a *app) getenv(name string) string {
	for _, pair := range a.environ {
		if n, value, _ := strings.Cut(pair, "="); n == name {
			return value
		}
	}
	return ""
}

func main() {
	// Libraries write there: net/http what a collector, say, sends unasked.
	log.SetOutput(io.Discard)
	os.Exit(run(os.Args[1:], &app{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}))
}

// run does what the arguments say, and returns the code to exit with.
func run(args []string, a *app) int {
	root := newRoot(a)
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	if failed, ok := errors.AsType[failure](err); ok {
		fmt.Fprintf(a.stderr, "agentgw: %s\n", failed)
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return codeOf(err)
	}
	fmt.Fprintf(a.stderr, "agentgw: %s\nsee: %s --help\n", err, command.CommandPath())
	return exitUsage
}

// usageError is a flag's value that no configuration or machine could make
// good.
type usageError struct{ error }

// failure is what a command that was begun ends with; any other error is of the command
// line itself.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

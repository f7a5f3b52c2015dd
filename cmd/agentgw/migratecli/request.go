package migratecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// Exit codes of the migrate commands, in addition to those of every command.
const (
	exitLoss    = 3 // losses must be accepted
	exitMissing = 4 // input is missing, or the plan is blocked
	exitDrift   = 5 // the source, the target or an alias has changed
)

// withExitCode gives an API error the exit code that its error code stands for.
func withExitCode(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case "loss_not_accepted":
		return cli.Error{Err: err, Code: exitLoss}
	case "migration_blocked":
		return cli.Error{Err: err, Code: exitMissing}
	case "plan_stale", "target_diverged", "alias_conflict":
		return cli.Error{Err: err, Code: exitDrift}
	}
	return err
}

// request is a single call that returns a migration.
type request struct {
	method, path string
	body         any
	json         bool                         // print the response as it is
	print        func(client.Migration)       // used unless json
	result       func(client.Migration) error // the error for a response that is not a success
	keep         func(json.RawMessage) error  // called with the response; nil for none
}

// run sends the request and prints the migration.
func (r request) run(a *cli.App, c *client.Client) error {
	var raw json.RawMessage
	if err := c.Call(context.Background(), r.method, r.path, r.body, &raw); err != nil {
		return withExitCode(err)
	}
	var m client.Migration
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%s %s: invalid response: %w", r.method, r.path, err)
	}
	if r.keep != nil {
		if err := r.keep(raw); err != nil {
			return err
		}
	}
	if !r.json {
		r.print(m)
	} else if _, err := fmt.Fprintf(a.Stdout, "%s\n", raw); err != nil {
		return err
	}
	return r.result(m)
}

// interruptible returns a context that ends with the first Ctrl-C. The second ends the
// process.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func exitErrorf(code int, format string, args ...any) error {
	return cli.Error{Err: fmt.Errorf(format, args...), Code: code}
}

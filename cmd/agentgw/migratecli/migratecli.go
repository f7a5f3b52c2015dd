// Package migratecli implements `agentgw migrate`: commands that plan, apply, verify and cut
// over migrations by calling the /v1/migrations API of a running gateway.
//
// The package must not know how a gateway is built or configured. It uses the capability
// tables of the providers and the planner only for `migrate maps`.
//
// Begin with New for the commands, client for the API, and selection.step for what a step
// does.
package migratecli

import (
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// New returns the migrate command.
func New(a *cli.App) *cobra.Command {
	group := cli.NewGroup("migrate", "Move agents from one backend to another without client changes.",
		newPlan(a), newMaps(a), newApply(a), newVerify(a),
		newShadow(a), newCutover(a), newRollback(a), newStatus(a),
	)
	group.Long = group.Short + `

These commands call a running gateway with a key that has the scope migrations:write.
docs/migrating.md is a complete example.

Exit codes:
  0  done
  1  error
  2  invalid command line
  3  losses must be accepted
  4  input is missing, or the plan is blocked
  5  drift: the source, the target or an alias has changed`
	return group
}

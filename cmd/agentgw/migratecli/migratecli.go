// Package migratecli implements `agentgw migrate`: commands that plan, apply, verify and cut
// over migrations by calling the /v1/migrations API of a running gateway.
//
// The package must not know how a gateway is built or configured. It uses the capability
// tables of the providers and the planner only for `migrate maps`.
//
// Begin with New for the commands, planCommand for plans, step for the other steps, and
// selection for the migrations that a step applies to.
package migratecli

import (
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// New returns the migrate command.
func New(a *cli.App) *cobra.Command {
	group := cli.NewGroup("migrate", "Move agents from one backend to another without client changes.",
		newPlan(a), newMaps(a), newApply(a), newVerify(a),
		newShadow(a), newCutover(a), newRollback(a), newStatus(a), newOrphans(a),
	)
	group.Long = group.Short + `

These commands call a running gateway with a key that has the scope migrations:write.
docs/migrating.md is a complete example.

A step over several agents needs a scope: ids, --ids FILE, --batch NAME, or --all with --from
or --to. apply, shadow, cutover and rollback then show what they will do where, and ask;
--yes answers, and is needed without a terminal.

Exit codes:
  0  done
  1  error
  2  invalid command line, or not confirmed
  3  losses must be accepted
  4  input is missing, or the plan is blocked
  5  drift: the source, the target or an alias has changed`
	return group
}

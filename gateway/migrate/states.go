package migrate

import "slices"

// The states of a migration. A plan is ready, needs_input or blocked; what follows, follows
// in this order, but for the last three.
const (
	Ready          = "ready"
	MissingInput   = "needs_input"
	Blocked        = "blocked"
	Applied        = "applied"
	Verified       = "verified"
	Shadowing      = "shadowing"
	CutOver        = "cut_over"
	Failed         = "failed"          // the target refused the agent: there is none
	OutcomeUnknown = "outcome_unknown" // there may be a target, or not: apply finds out
	RolledBack     = "rolled_back"
)

// States is every state, in order.
func States() []string {
	return []string{Ready, MissingInput, Blocked, OutcomeUnknown, Applied, Verified, Shadowing, CutOver, Failed, RolledBack}
}

// Step is what can be done with a migration.
type Step string

// The steps.
const (
	StepPlan     Step = "plan"
	StepApply    Step = "apply"
	StepVerify   Step = "verify"
	StepShadow   Step = "shadow"
	StepCutover  Step = "cutover"
	StepRollback Step = "rollback"
)

// Steps is every step, in order.
func Steps() []Step {
	return []Step{StepPlan, StepApply, StepVerify, StepShadow, StepCutover, StepRollback}
}

var from = map[Step][]string{
	StepPlan:     {Ready, MissingInput, Blocked, Failed},
	StepApply:    {Ready, Failed, OutcomeUnknown, Applied, Verified, Shadowing, CutOver},
	StepVerify:   {Applied, Verified, Shadowing, CutOver},
	StepShadow:   {Verified, Shadowing},
	StepCutover:  {Verified, Shadowing, CutOver},
	StepRollback: {Ready, MissingInput, Blocked, Failed, OutcomeUnknown, Applied, Verified, Shadowing, CutOver, RolledBack},
}

// Can reports whether a step can be done in a state.
func Can(s Step, state string) bool { return slices.Contains(from[s], state) }

// Next are the steps that can be done in a state.
func Next(state string) []Step {
	return slices.DeleteFunc(Steps(), func(s Step) bool { return !Can(s, state) })
}

// Open reports whether there is a target, or may be, that is not given up.
func Open(state string) bool {
	return slices.Contains([]string{OutcomeUnknown, Applied, Verified, Shadowing, CutOver}, state)
}

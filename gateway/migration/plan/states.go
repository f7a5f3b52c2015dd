package plan

import "slices"

// The states of a migration. A planned migration is Ready, MissingInput or Blocked. Applying
// it leads through Applied, Verified and Shadowing, which is optional, to CutOver.
const (
	Ready          = "ready"
	MissingInput   = "needs_input"
	Blocked        = "blocked"
	Applied        = "applied"
	Verified       = "verified"
	Drifted        = "drifted" // a verification found that the target differs from the plan
	Shadowing      = "shadowing"
	CutOver        = "cut_over"
	Failed         = "failed"          // the target rejected the agent: none was created
	OutcomeUnknown = "outcome_unknown" // the target may have been created: apply looks for it
	RolledBack     = "rolled_back"
)

// Creating is what the audit log shows instead of OutcomeUnknown while a create request is on
// its way. No migration is in this state.
const Creating = "creating"

// States returns all states in their documented order.
func States() []string {
	return []string{Ready, MissingInput, Blocked, OutcomeUnknown, Applied, Verified, Drifted, Shadowing, CutOver, Failed, RolledBack}
}

// Step is an operation on a migration.
type Step string

// The steps of a migration.
const (
	StepPlan     Step = "plan"
	StepApply    Step = "apply"
	StepVerify   Step = "verify"
	StepShadow   Step = "shadow"
	StepCutover  Step = "cutover"
	StepRollback Step = "rollback"
)

// Steps returns all steps in their usual order.
func Steps() []Step {
	return []Step{StepPlan, StepApply, StepVerify, StepShadow, StepCutover, StepRollback}
}

// allowedIn has the states in which each step is allowed.
var allowedIn = map[Step][]string{
	StepPlan:     {Ready, MissingInput, Blocked, Failed},
	StepApply:    {Ready, Failed, OutcomeUnknown, Applied, Verified, Drifted, Shadowing, CutOver},
	StepVerify:   {Applied, Verified, Drifted, Shadowing, CutOver},
	StepShadow:   {Verified, Shadowing},
	StepCutover:  {Verified, Drifted, Shadowing, CutOver}, // compares again: refused while the target differs
	StepRollback: {Ready, MissingInput, Blocked, Failed, OutcomeUnknown, Applied, Verified, Drifted, Shadowing, CutOver, RolledBack},
}

// Allowed reports whether a step is allowed in a state.
func Allowed(s Step, state string) bool { return slices.Contains(allowedIn[s], state) }

// Next returns the steps that are allowed in a state.
func Next(state string) []Step {
	return slices.DeleteFunc(Steps(), func(s Step) bool { return !Allowed(s, state) })
}

// MayHaveTarget reports whether a target agent exists, or may exist, in a state. Such a
// migration cannot be planned again: that could create a second target.
func MayHaveTarget(state string) bool {
	return slices.Contains([]string{OutcomeUnknown, Applied, Verified, Drifted, Shadowing, CutOver}, state)
}

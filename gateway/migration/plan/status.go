package plan

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// InactiveStatus returns the status that an update sets to take an agent of a provider out of
// service, empty if the provider has none.
func InactiveStatus(info *adapters.Info) string {
	if info.Rule(normalize.FieldStatus).In&adapters.InUpdate == 0 {
		return ""
	}
	for _, status := range []string{normalize.StatusInactive, normalize.StatusArchived} {
		if len(info.CheckValue(normalize.FieldStatus, quote(status))) == 0 {
			return status
		}
	}
	return ""
}

// status decides about the status. The target becomes active at cutover only, where the
// provider has any way to take an agent out of service. Elsewhere the finding is a warning:
// the target is live from apply on.
func (p *planner) status(value jsontext.Value, shown bool) {
	found := Finding{Path: normalize.FieldStatus.Pointer(), Kind: Exact, Severity: Warn}
	unknown := !shown || empty(value)
	if shown {
		found.From = value
	}
	inactive := InactiveStatus(p.to)
	if inactive == "" {
		found.Message = p.to.Title + " cannot take agents out of service: the target is live from apply on"
		if unknown || textOf(value) != normalize.StatusActive {
			found.Kind = Approximate
		}
		p.add(found)
		return
	}
	created := "created inactive"
	if !p.to.CreatesInactive {
		created = "created active, set to " + inactive + " at once"
		p.plan.Deactivate = inactive
	}
	switch {
	case unknown:
		p.plan.Activate, found.Kind = true, Approximate
		found.Message = fmt.Sprintf("%s reports no status: the target is %s, and activated at cutover (unless activate is false: --no-activate)", p.from.Title, created)
	case textOf(value) == normalize.StatusActive:
		p.plan.Activate, found.To = true, value
		found.Message = created + ", and activated at cutover"
	default:
		found.To = quote(inactive)
		found.Message = created + ", and stays " + inactive
		if textOf(value) != inactive {
			found.Kind, found.Message = Approximate, fmt.Sprintf("%s has no status %s: %s", p.to.Title, value, found.Message)
		}
	}
	if p.to.CreatesInactive && !unknown {
		found.Severity = Info
	}
	p.add(found)
}

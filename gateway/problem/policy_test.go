package problem

import (
	"testing"

	"github.com/agentgw/agentgw/normalize"
)

// TestOutcomes_CoverEveryKind checks that every kind of failure has an outcome, with the
// status of its code.
func TestOutcomes_CoverEveryKind(t *testing.T) {
	for _, k := range normalize.Kinds() {
		o, ok := Outcomes[k]
		if !ok {
			t.Errorf("no outcome for %s", k)
			continue
		}
		info, ok := infoByCode[o.Code]
		if !ok || info.Status != o.status {
			t.Errorf("%s: code %s has status %d, the outcome %d", k, o.Code, info.Status, o.status)
		}
	}
	if len(Outcomes) != len(normalize.Kinds()) {
		t.Errorf("%d outcomes, %d kinds", len(Outcomes), len(normalize.Kinds()))
	}
}

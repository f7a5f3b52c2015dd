package agents

import (
	"context"
	"errors"
	"time"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// CreateAttempt is the state of one create request to a backend. Its JSON form is stored before
// the request is sent, so that a create whose response is lost can be reconciled later, even by
// another process. It contains no field of the agent but ids. It must not be used concurrently.
type CreateAttempt struct {
	// OutcomeUnknown reports that the request was sent and that it is not known whether the
	// backend created the agent.
	OutcomeUnknown bool      `json:"lost"`
	Backend        string    `json:"backend"`
	Address        string    `json:"address"` // backendAddress when it was sent
	Account        string    `json:"account"` // the backend account it was sent for
	StartedAt      time.Time `json:"began"`
	// UpstreamDoneBy is when the backend can no longer be processing the request.
	UpstreamDoneBy time.Time `json:"busy_until"`
	// KnownBefore are the native ids of agents with the same name that were cached before
	// the request was sent.
	KnownBefore map[string]bool `json:"before,omitzero"`
	// NativeID is the id of the created agent; empty while unknown.
	NativeID string `json:"native,omitzero"`

	// Persist stores the attempt before the request is sent; an error keeps it from being
	// sent. If Persist is nil, the create is never reconciled.
	Persist func(context.Context, *CreateAttempt) error `json:"-"`

	recovered bool              // the agent was created by an earlier attempt
	warnings  []problem.Warning // those of the response
	// endLedgerEntry ends the attempt's entry in the createLedger; nil if there is none.
	endLedgerEntry func(nativeID string)
}

// Finish ends a persisted attempt that was sent. The native id is that of the created agent if
// the caller has stored it, else empty: then a later attempt may claim the agent.
func (a *CreateAttempt) Finish(nativeID string) {
	if a.endLedgerEntry != nil {
		a.endLedgerEntry(nativeID)
		a.endLedgerEntry = nil
	}
}

// begin resets and persists the attempt. The create must not be sent after an error.
func (a *CreateAttempt) begin(ctx context.Context, b auth.CallerBackend, knownBefore map[string]bool) error {
	now := time.Now()
	*a = CreateAttempt{
		OutcomeUnknown: true, Backend: b.Name, Address: backendAddress(b), Account: b.Account, StartedAt: now, KnownBefore: knownBefore,
		// Applies if this process ends before the response: one timeout until the call
		// ends, and one for the backend to finish. Otherwise recordFailure sets it.
		UpstreamDoneBy: now.Add(2 * b.Config.Timeout.D()),
		Persist:        a.Persist,
	}
	if a.Persist == nil {
		return nil
	}
	if err := a.Persist(ctx, a); err != nil {
		a.OutcomeUnknown = false
		return problem.StoreUnavailable(err)
	}
	return nil
}

// recordFailure records that the create failed with err, and whether its outcome is unknown. A
// backend that responded is done. One that did not may still be processing the request for as
// long as its timeout; that includes 502, 504 and 524, which a proxy in front of it sends.
func (a *CreateAttempt) recordFailure(b auth.CallerBackend, err error, outcomeUnknown bool) {
	a.OutcomeUnknown, a.UpstreamDoneBy = outcomeUnknown, time.Now()
	failure, ok := errors.AsType[*normalize.Error](err)
	if !ok || failure.Status == 0 || failure.Status > 500 {
		a.UpstreamDoneBy = a.UpstreamDoneBy.Add(b.Config.Timeout.D())
	}
}

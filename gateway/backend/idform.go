package backend

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// checkID refuses native ids that the provider cannot have, before anything is sent: an id
// of a request is the caller's text, and becomes part of a path at the provider. An id of
// another form is accepted if the last list that the caller's credential got has it.
func checkID(b *Backend) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			if call.Op != adapters.OpList && call.Op != adapters.OpCreate && !b.AcceptsID(call) {
				return Result{}, &normalize.Error{
					Kind: normalize.KindNotFound, Provider: b.Info.Provider, Op: string(call.Op), Unsent: true,
					Message: "the provider has no ids of this form",
				}
			}
			return next(ctx, call)
		}
	}
}

// AcceptsID reports whether a call's native id may become part of a path.
func (b *Backend) AcceptsID(call Call) bool {
	return b.Info.AcceptsNativeID(call.NativeID) || b.Info.Operations[call.Op] == adapters.Emulated ||
		b.Tenant(call.Credential).hasListed(call.NativeID)
}

// noteListed keeps the ids of a list that do not have the provider's form.
func (t *Tenant) noteListed(agents []*normalize.Agent) {
	var odd map[string]bool
	for _, a := range agents {
		if !t.Backend.Info.AcceptsNativeID(a.NativeID) {
			if odd == nil {
				odd = map[string]bool{}
			}
			odd[a.NativeID] = true
		}
	}
	t.oddIDs.Store(&odd)
}

func (t *Tenant) hasListed(nativeID string) bool {
	odd := t.oddIDs.Load()
	return odd != nil && (*odd)[nativeID]
}

// checkAnswer returns an error if a get was answered with another agent than the one asked
// for. Nothing of it is kept.
func checkAnswer(b *Backend, call Call, agent *normalize.Agent) error {
	if agent.NativeID == call.NativeID {
		return nil
	}
	return &normalize.Error{
		Kind: normalize.KindWrongShape, Provider: b.Info.Provider, Op: string(call.Op), Status: 200,
		Message: "the response is another agent than the one asked for",
	}
}

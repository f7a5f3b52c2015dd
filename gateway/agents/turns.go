package agents

import (
	"context"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
)

// turnKey is an agent as one account sees it. Accounts may number their agents alike, and
// must not wait for each other.
type turnKey struct{ backend, account, nativeID string }

// takeTurn waits until no other update or delete of the agent runs, and keeps others waiting
// until release is called: from the read that a write rests on to the backend's response. Else
// the second of two merges would undo the first, and two requests with the same If-Match could
// both succeed.
func (s *Service) takeTurn(ctx context.Context, b auth.CallerBackend, nativeID string) (release func(), err error) {
	release, ok := s.turns.Take(ctx, turnKey{b.Name, b.Account, nativeID})
	if ok {
		return release, nil
	}
	p := problem.New(problem.CodeUpstreamTimeout, "other writes to this agent took until the end of server.request_timeout; nothing was sent")
	p.Backend = &b.Name
	return nil, p
}

package agents

import (
	"context"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// ReadFresh reads an agent in full view as it is now, or says why that cannot be.
func (s *Service) ReadFresh(ctx context.Context, b auth.CallerBackend, native string) (*catalog.Detail, error) {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, NoCache: true})
	if err == nil && result.Stale != nil {
		err = result.Stale
	}
	if err != nil {
		return nil, problem.FromBackend(b.Name, adapters.OpGet, err)
	}
	return result.Detail, nil
}

// readMatching is the agent as its backend has it now, if that is as If-Match says
// (RFC 9110, 13.1.1, by the strong comparison); no lines say nothing. Between this and
// the write that follows others may write: no vendor has a conditional write.
func (s *Service) readMatching(ctx context.Context, b auth.CallerBackend, native string, ifMatch []string) (*normalize.Agent, error) {
	detail, err := s.ReadFresh(ctx, b, native)
	if err != nil {
		return nil, err
	}
	agent := detail.Agent
	if len(ifMatch) == 0 || MatchesETag(ifMatch, func(tag string) bool { return tag == detail.ETag() }) {
		return agent, nil
	}
	p := problem.New(problem.CodeETagMismatch, "the agent is not as If-Match says: it was changed since, or the tag is another agent's")
	if agent.NotLoaded.Len() > 0 {
		p = problem.New(problem.CodeUpstreamUnavailable, "backend %s showed only part of the agent just now, so If-Match cannot be held against it", b.Name)
	}
	p.Backend = &b.Name
	return nil, p
}

// MatchesETag reports whether one of a header's entity tags is the one wanted; "*" is
// any.
func MatchesETag(lines []string, wanted func(tag string) bool) bool {
	for _, line := range lines {
		if strings.TrimSpace(line) == "*" {
			return true
		}
		for rest := strings.TrimLeft(line, ", \t"); rest != ""; {
			// A tag may hold commas; its quotes are what ends it.
			opaque := strings.TrimPrefix(rest, "W/")
			if !strings.HasPrefix(opaque, `"`) {
				break
			}
			end := strings.IndexByte(opaque[1:], '"')
			if end < 0 {
				break
			}
			after := opaque[end+2:]
			if wanted(rest[:len(rest)-len(after)]) {
				return true
			}
			rest = strings.TrimLeft(after, ", \t")
		}
	}
	return false
}

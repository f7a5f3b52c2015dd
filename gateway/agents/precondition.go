package agents

import (
	"context"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// ReadFresh reads an agent in full view from its backend, bypassing the cache. A stale result
// counts as an error.
func (s *Service) ReadFresh(ctx context.Context, b auth.CallerBackend, nativeID string) (*catalog.Detail, error) {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: nativeID, NoCache: true})
	if err == nil && result.Stale != nil {
		err = result.Stale
	}
	if err != nil {
		return nil, b.Problem(adapters.OpGet, nativeID, err)
	}
	return result.Detail, nil
}

// readMatching reads an agent from its backend and checks If-Match by strong comparison (RFC 9110,
// section 13.1.1); no lines always match. The caller has the agent's turn, so that no other write of this
// gateway comes between the check and its own; no provider supports conditional writes.
func (s *Service) readMatching(ctx context.Context, b auth.CallerBackend, nativeID string, ifMatch []string) (*normalize.Agent, error) {
	detail, err := s.ReadFresh(ctx, b, nativeID)
	if err != nil {
		return nil, err
	}
	agent := detail.Agent
	if len(ifMatch) == 0 || MatchesETag(ifMatch, func(tag string) bool { return tag == detail.ETag() }) {
		return agent, nil
	}
	p := problem.New(problem.CodeETagMismatch, "If-Match does not contain the agent's current ETag: the agent has changed, or the ETag is another agent's; read the agent again and retry with its ETag")
	p.ETag = detail.ETag()
	if agent.NotLoaded.Len() > 0 {
		p = problem.New(problem.CodeUpstreamUnavailable, "backend %s returned only part of the agent, so If-Match cannot be checked; retry later", b.Name)
	}
	p.Backend = &b.Name
	return nil, p
}

// MatchesETag reports whether the lines of an If-Match or If-None-Match header contain "*" or an
// entity tag that matches. Tags are passed with their quotes and W/ prefix.
func MatchesETag(lines []string, matches func(tag string) bool) bool {
	for _, line := range lines {
		if strings.TrimSpace(line) == "*" {
			return true
		}
		tags, _ := parseETags(line)
		if slices.ContainsFunc(tags, matches) {
			return true
		}
	}
	return false
}

// ValidETags reports whether a line of If-Match is "*" or a list of entity tags.
func ValidETags(line string) bool {
	tags, ok := parseETags(line)
	return ok && len(tags) > 0 || strings.TrimSpace(line) == "*"
}

// parseETags returns the entity tags of a line up to the first that is malformed; ok is false if
// there is one. A tag may contain commas, so that it ends at its closing quote.
func parseETags(line string) (tags []string, ok bool) {
	for rest := strings.TrimLeft(line, ", \t"); rest != ""; {
		opaque := strings.TrimPrefix(rest, "W/")
		if !strings.HasPrefix(opaque, `"`) {
			return tags, false
		}
		end := strings.IndexByte(opaque[1:], '"')
		if end < 0 {
			return tags, false
		}
		after := opaque[end+2:]
		tags = append(tags, rest[:len(rest)-len(after)])
		rest = strings.TrimLeft(after, ", \t")
	}
	return tags, true
}

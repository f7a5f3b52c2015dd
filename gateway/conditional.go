package gateway

import (
	"context"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// matchesAny reports whether the lines of If-None-Match hold the entity tag, by the weak
// comparison (RFC 9110, section 13.1.2).
func matchesAny(lines []string, etag string) bool {
	return holdsTag(lines, func(tag string) bool {
		return strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/")
	})
}

// freshly reads an agent in full view as it is now, or says why that cannot be.
func (s *agentService) freshly(ctx context.Context, b CallerBackend, native string) (*catalog.Detail, error) {
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, Fresh: true})
	if err == nil && result.Stale != nil {
		err = result.Stale
	}
	if err != nil {
		return nil, backendProblem(b.Name, adapters.OpGet, err)
	}
	return result.Detail, nil
}

// current is the agent as its backend has it now, if that is as If-Match says
// (RFC 9110, 13.1.1, by the strong comparison); no lines say nothing. Between this and
// the write that follows others may write: no vendor has a conditional write.
func (s *agentService) current(ctx context.Context, b CallerBackend, native string, ifMatch []string) (*normalize.Agent, error) {
	detail, err := s.freshly(ctx, b, native)
	if err != nil {
		return nil, err
	}
	agent := detail.Agent
	if len(ifMatch) == 0 || holdsTag(ifMatch, func(tag string) bool { return tag == detail.ETag() }) {
		return agent, nil
	}
	p := newProblem(CodeETagMismatch, "the agent is not as If-Match says: it was changed since, or the tag is another agent's")
	if agent.NotLoaded.Len() > 0 {
		p = newProblem(CodeUpstreamUnavailable, "backend %s showed only part of the agent just now, so If-Match cannot be held against it", b.Name)
	}
	p.Backend = &b.Name
	return nil, p
}

// holdsTag reports whether one of a header's entity tags is the one wanted; "*" is
// any.
func holdsTag(lines []string, wanted func(tag string) bool) bool {
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

package api

import (
	"strings"

	"github.com/agentgw/agentgw/gateway/agents"
)

// matchesAny reports whether the lines of If-None-Match contain the entity tag, by weak
// comparison (RFC 9110, section 13.1.2).
func matchesAny(lines []string, etag string) bool {
	return agents.MatchesETag(lines, func(tag string) bool {
		return strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/")
	})
}

package gateway

import (
	"strings"
)

// noneMatch reports whether If-None-Match holds the entity tag: what the caller
// has is as good as the answer (RFC 9110, 13.1.2, by the weak comparison).
func noneMatch(lines []string, etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	for _, line := range lines {
		if strings.TrimSpace(line) == "*" {
			return true
		}
		for rest := line; rest != ""; {
			// A tag may hold commas; its quotes are what ends it.
			rest = strings.TrimPrefix(strings.TrimLeft(rest, ", \t"), "W/")
			if !strings.HasPrefix(rest, `"`) {
				break
			}
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				break
			}
			if rest[:end+2] == opaque {
				return true
			}
			rest = rest[end+2:]
		}
	}
	return false
}

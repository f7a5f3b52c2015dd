package gateway

import (
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/gateway/payload"
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

// preferredCoding is the content coding that the caller likes best of those that
// there are (RFC 9110, 12.5.3); of equally liked ones, the better one.
func preferredCoding(lines []string) payload.Coding {
	best, weight := payload.Identity, 0.0
	accepted := acceptedCodings(strings.Join(lines, ","))
	for _, c := range payload.Codings() {
		q, named := accepted[string(c)]
		if !named {
			q = accepted["*"]
		}
		if q > weight {
			best, weight = c, q
		}
	}
	if accepted[string(payload.Identity)] > weight { // preferred by name
		return payload.Identity
	}
	return best
}

// acceptedCodings are the codings of Accept-Encoding, each with its weight. One
// that cannot be read is not accepted.
func acceptedCodings(header string) map[string]float64 {
	accepted := map[string]float64{}
	for _, item := range strings.Split(header, ",") {
		name, parameters, weighted := strings.Cut(item, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "x-gzip" { // RFC 9110, 8.4.1.3
			name = string(payload.Gzip)
		}
		q := 1.0
		if weighted {
			key, value, _ := strings.Cut(parameters, "=")
			var err error
			q, err = strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !strings.EqualFold(strings.TrimSpace(key), "q") || !(q >= 0 && q <= 1) {
				q = 0
			}
		}
		if name != "" {
			accepted[name] = q
		}
	}
	return accepted
}

package gateway

import (
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/gateway/payload"
)

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

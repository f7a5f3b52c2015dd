package negotiate

import (
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/gateway/payload"
)

// PreferredCoding returns the content coding with the highest weight in the lines of
// Accept-Encoding (RFC 9110, section 12.5.3); of equally weighted ones, the one that
// compresses better. Fiber's AcceptsEncodings is not used: it ignores that names are
// case-insensitive, and weights of 0.
func PreferredCoding(lines []string) payload.Coding {
	weights := map[string]float64{}
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, parameters, weighted := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "x-gzip" { // RFC 9110, section 8.4.1.3
				name = string(payload.Gzip)
			}
			weights[name] = 1
			if weighted {
				weights[name] = codingWeight(parameters)
			}
		}
	}
	best, highest := payload.Identity, weights[string(payload.Identity)]
	for _, coding := range payload.Codings() {
		weight, named := weights[string(coding)]
		if !named {
			weight = weights["*"]
		}
		if weight > highest {
			best, highest = coding, weight
		}
	}
	return best
}

// codingWeight returns the q parameter; 0, not acceptable, for one that cannot be parsed.
func codingWeight(parameters string) float64 {
	name, value, _ := strings.Cut(parameters, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

package gateway

import (
	"bytes"
	"strconv"

	"github.com/agentgw/agentgw/gateway/payload"
)

// preferredCoding is the content coding that the caller likes best of those that
// there are (RFC 9110, 12.5.3), by the lines of its Accept-Encoding; of equally liked ones,
// the better one.
func preferredCoding(lines [][]byte) payload.Coding {
	if len(lines) == 0 {
		return payload.Identity
	}
	codings := payload.Codings()
	var named [8]weight // of each of them
	var any, identity weight
	for _, line := range lines {
		for item := range bytes.SplitSeq(line, []byte{','}) {
			name, parameters, weighted := bytes.Cut(item, []byte{';'})
			name = bytes.TrimSpace(name)
			if bytes.EqualFold(name, []byte("x-gzip")) { // RFC 9110, 8.4.1.3
				name = []byte(payload.Gzip)
			}
			given := weight{1, true}
			if weighted {
				given.q = quality(parameters)
			}
			switch {
			case bytes.EqualFold(name, []byte(payload.Identity)):
				identity = given
			case string(name) == "*":
				any = given
			}
			for i, c := range codings {
				if bytes.EqualFold(name, []byte(c)) {
					named[i] = given
				}
			}
		}
	}
	best, most := payload.Identity, 0.0
	for i, c := range codings {
		liked := named[i]
		if !liked.named {
			liked = any
		}
		if liked.q > most {
			best, most = c, liked.q
		}
	}
	if identity.q > most { // preferred by name
		return payload.Identity
	}
	return best
}

// weight is how much a coding is liked; of one that is not named, that of any other.
type weight struct {
	q     float64
	named bool
}

// quality is the weight in a coding's parameters. One that cannot be read is 0: not
// accepted.
func quality(parameters []byte) float64 {
	key, value, _ := bytes.Cut(parameters, []byte{'='})
	q, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
	if err != nil || !bytes.EqualFold(bytes.TrimSpace(key), []byte("q")) || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

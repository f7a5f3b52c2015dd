package gateway

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/telemetry"
)

// understood is what a request's head (RFC 9112, 2.1: its line and header) asks: all that
// is the same each time that the head comes, while the configuration is. But for how it was
// answered it is not changed after it was made.
type understood struct {
	route  *route
	holder *keyEntry // nil: the route needs no key
	form   form
	// wish is set where again is: what is read may be answered as it was before.
	wish    wish
	again   bool
	request request // without its context and id
	err     error   // why it is refused, once it was counted as its key's

	kept   bool // it may come again
	served telemetry.Lately[telemetry.Served]
	led    ledTo                  // where its id led
	replay atomic.Pointer[replay] // how it was answered from memory; nil: it was not
}

// heads are what heads said that came before: most programs send the same head again and
// again, but for an id or two, and to read one takes longer than to answer it from memory.
// They are known by SHA-256, as keys are, so that no key is kept. They are a configuration's,
// and go with it.
//
// It is safe for concurrent use.
type heads struct {
	mu    sync.RWMutex
	of    map[headHash]*understood
	byKey map[*keyEntry][]headHash
}

// headHash tells heads apart; that of a head that is not worth it is zero.
type headHash [sha256.Size]byte

const (
	// maxHeads is how many are kept, and maxOfKey how many of one key, so that none has the
	// others' forgotten; then they are collected anew.
	maxHeads = 4096
	maxOfKey = 256
	// bodiless is what fasthttp has for the length of a body that the head says nothing of.
	bodiless = -2
	// maxHead is how long one may be that is worth it, in bytes, and maxHashed how much of it
	// may have a say.
	maxHead   = 4 << 10
	maxHashed = 1 << 10
)

func newHeads() *heads {
	return &heads{of: map[headHash]*understood{}, byKey: map[*keyEntry][]headHash{}}
}

// glimpse is what is seen of a head before it is known.
type glimpse struct {
	hash headHash // of all but the fields that are another one's each time
	ids
}

// ids are those of one request; empty where it has none. They are the head's bytes.
type ids struct{ request, traceparent, tracestate []byte }

// eachTime are fields that programs, and proxies before us, write anew for each request: what
// they say of it is all that we heed of the first three, and nothing of the others is.
var eachTime = byLength(
	"X-Request-Id", "Traceparent", "Tracestate", "Baggage",
	"B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "Uber-Trace-Id", "Sentry-Trace",
	"X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Tags", "X-Amzn-Trace-Id", "X-Amz-Cf-Id", "X-Cloud-Trace-Context",
	"Cf-Ray", "Cf-Connecting-Ip", "X-Correlation-Id", "X-Request-Start", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded",
)

func byLength(names ...string) (by [32][]string) {
	for _, name := range names {
		by[len(name)] = append(by[len(name)], name)
	}
	return by
}

// glimpseOf is what is seen of what may be the head of a GET; false if it is none that is worth
// it.
func glimpseOf(head []byte) (g glimpse, ok bool) {
	if len(head) > maxHead || !bytes.HasPrefix(head, []byte("GET ")) || !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		return glimpse{}, false
	}
	var room [maxHashed]byte
	hashed := room[:0]
	for rest := head; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1 // there is one
		line := rest[:end]
		rest = rest[end:]
		name, value, changes := changing(line)
		switch {
		case !changes:
			if len(hashed)+len(line) > maxHashed {
				return glimpse{}, false
			}
			hashed = append(hashed, line...)
		case name == "X-Request-Id" && g.request == nil:
			g.request = value
		case name == "Traceparent" && g.traceparent == nil:
			g.traceparent = value
		case name == "Tracestate" && g.tracestate == nil:
			g.tracestate = value
		}
	}
	g.hash = sha256.Sum256(hashed)
	return g, true
}

// changing is the name and the value of one of these fields, if a line is one, beyond doubt: a
// line that somebody might take for two, or for a part of another, is not.
func changing(line []byte) (name string, value []byte, is bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || colon >= len(eachTime) || !bytes.HasSuffix(line, []byte("\r\n")) {
		return "", nil, false
	}
	for _, name := range eachTime[colon] {
		if !strings.EqualFold(name, string(line[:colon])) {
			continue
		}
		value := line[colon+1 : len(line)-2]
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return "", nil, false
			}
		}
		if value = bytes.Trim(value, " \t"); value == nil {
			value = []byte{} // it is there
		}
		return name, value, true
	}
	return "", nil, false
}

// headSize is how long the head of a GET was, as it came; zero if it has a body: more may
// follow then, and fasthttp takes the fields of its trailer (RFC 9110, 6.5) for the header's.
func headSize(header *fasthttp.RequestHeader) int {
	if !header.IsGet() || header.ContentLength() != bodiless {
		return 0
	}
	return len("GET ") + len(header.RequestURI()) + len(" ") + len(header.Protocol()) + len("\r\n") + len(header.RawHeaders())
}

// find is what the head said before; nil if it did not come before, or if its key is not
// valid at that time.
func (h *heads) find(head headHash, now time.Time) *understood {
	h.mu.RLock()
	u := h.of[head]
	h.mu.RUnlock()
	if u == nil || u.holder.refused(now) != "" {
		return nil
	}
	return u
}

// keep remembers what a head said, if it may come again and its connection then stays. Of those
// who have no key nothing is kept, nor of who comes from a page: others than the route heed that.
func (h *heads) keep(head headHash, u *understood, header *fasthttp.RequestHeader, has present) {
	if head == (headHash{}) || u.holder == nil || u.err != nil || has.any(hasOrigin) || !header.IsHTTP11() || header.ConnectionClose() || len(header.Peek(fasthttp.HeaderExpect)) > 0 {
		return
	}
	u.kept = true
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.of) >= maxHeads {
		clear(h.of)
		clear(h.byKey)
	}
	if own := h.byKey[u.holder]; len(own) >= maxOfKey {
		for _, head := range own {
			delete(h.of, head)
		}
		delete(h.byKey, u.holder)
	}
	if _, twice := h.of[head]; !twice {
		h.byKey[u.holder] = append(h.byKey[u.holder], head)
	}
	h.of[head] = u
}

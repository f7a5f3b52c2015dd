package gateway

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// understood is what a request's head (RFC 9112, 2.1: its line and header) asks: all that
// is the same each time that the head comes, while the configuration is. But for the replay
// it is not changed after it was made.
type understood struct {
	route  *route
	holder *keyEntry // nil: the route needs no key
	form   form
	// wish is set where again is: what is read may be answered as it was before.
	wish    wish
	again   bool
	request request // without its context and id
	err     error   // why it is refused, once it was counted as its key's

	kept   bool                   // it may come again
	replay atomic.Pointer[replay] // how it was answered from memory; nil: it was not
}

// heads are what heads said that came before: most programs send the same head again and
// again, and to read one takes longer than to answer it from memory. They are known by
// SHA-256, as keys are, so that no key is kept. They are a configuration's, and go with it.
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
	// maxHead is how long one may be that is worth it, in bytes.
	maxHead = 1 << 10
)

func newHeads() *heads {
	return &heads{of: map[headHash]*understood{}, byKey: map[*keyEntry][]headHash{}}
}

// headOf is the hash of a head's bytes.
func headOf(head []byte) headHash { return sha256.Sum256(head) }

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
	if head == (headHash{}) {
		return nil
	}
	h.mu.RLock()
	u := h.of[head]
	h.mu.RUnlock()
	if u == nil || u.holder.refused(now) != "" {
		return nil
	}
	return u
}

// changing are header fields that one request has and the next one has not, or has
// otherwise, and those that others than the route heed.
const changing = hasRequestID | hasTraceparent | hasOrigin

// keep remembers what a head said, if it may come again and its connection then stays. Of those
// who have no key nothing is kept.
func (h *heads) keep(head headHash, u *understood, header *fasthttp.RequestHeader, has present) {
	if head == (headHash{}) || u.holder == nil || u.err != nil || has.any(changing) || !header.IsHTTP11() || header.ConnectionClose() || len(header.Peek(fasthttp.HeaderExpect)) > 0 {
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

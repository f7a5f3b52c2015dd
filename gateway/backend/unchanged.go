package backend

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/agentgw/agentgw/adapters"
)

// replyHash is the SHA-256 of a backend's reply: its Content-Type and its body.
type replyHash [sha256.Size]byte

// replyTracker hashes the replies of one read. If the only reply equals that of the last
// read, what was decoded then is used again: decoding is most of a read's cost. A read of
// several pages never matches, because the later ones are unknown until the first is
// decoded. It is safe for concurrent use.
type replyTracker struct {
	previous *replyHash // of the last read; nil: nothing can match

	mu      sync.Mutex
	replies int
	not200  bool // of some reply
	last    replyHash
	matched bool
}

// errUnchanged ends an adapter's read whose reply equals the one of the last read.
var errUnchanged = errors.New("the reply is the same as the last one")

type replyTrackerKey struct{}

// hash returns the hash of the reply, or nil unless there was exactly one with status 200.
func (t *replyTracker) hash() *replyHash {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.replies != 1 || t.not200:
		return nil
	case t.matched:
		return t.previous
	}
	last := t.last // a pointer into t would keep t and all trackers before it in memory
	return &last
}

// unchanged reports whether the read ended because its reply equals the last one.
func (t *replyTracker) unchanged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.matched
}

// observe hashes a reply and reports whether it equals the one of the last read.
func (t *replyTracker) observe(r adapters.Response) bool {
	h := sha256.New()
	_, _ = h.Write([]byte(r.Header.Get("Content-Type") + "\n")) // a hash never returns an error
	_, _ = h.Write(r.Body)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replies++
	t.not200 = t.not200 || r.Status != 200
	h.Sum(t.last[:0])
	t.matched = t.replies == 1 && !t.not200 && t.previous != nil && t.last == *t.previous
	return t.matched
}

// skipUnchanged does not decode a reply that equals the one of the last read. For the
// middlewares below that is a success; the adapter gets errUnchanged.
func skipUnchanged(next adapters.RoundTrip) adapters.RoundTrip {
	return func(ctx context.Context, req *adapters.Request) error {
		tracker, ok := ctx.Value(replyTrackerKey{}).(*replyTracker)
		if !ok {
			return next(ctx, req)
		}
		decode, unchanged := req.Decode, false
		req.Decode = func(r adapters.Response) error {
			if unchanged = tracker.observe(r); unchanged {
				return nil
			}
			return decode(r)
		}
		if err := next(ctx, req); err != nil || !unchanged {
			return err
		}
		return errUnchanged
	}
}

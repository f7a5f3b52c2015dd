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

// replyTracker hashes the replies of one read. If the only reply equals the one of
// the last read, what was decoded then is used again: decoding and encoding are
// most of a read's cost. A read of several replies never matches, because the
// later ones are unknown until the first is decoded. It is safe for concurrent use.
type replyTracker struct {
	previous *replyHash // the reply of the last read; nil: nothing can match

	mu      sync.Mutex
	replies int
	other   bool // some reply was not a 200
	last    replyHash
	matched bool
}

// errUnchanged ends an adapter's read whose reply equals the one of the last read.
var errUnchanged = errors.New("the reply is the same as the last one")

type replyTrackerKey struct{}

// hash returns the hash of the only reply, or nil if there were others, or none.
func (t *replyTracker) hash() *replyHash {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.replies != 1 || t.other:
		return nil
	case t.matched:
		return t.previous
	}
	last := t.last // a copy, or the result would hold on to every tracker before it
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
	_, _ = h.Write([]byte(r.Header.Get("Content-Type") + "\n")) // it never fails
	_, _ = h.Write(r.Body)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replies++
	t.other = t.other || r.Status != 200
	h.Sum(t.last[:0])
	t.matched = t.replies == 1 && !t.other && t.previous != nil && t.last == *t.previous
	return t.matched
}

// skipUnchanged does not have a reply decoded that equals the one of the last read.
// The backend has answered well; the adapter's read ends with errUnchanged.
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

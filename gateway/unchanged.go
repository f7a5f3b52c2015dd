package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/agentgw/agentgw/adapters"
)

// replyHash is the SHA-256 of a backend's reply: its type and its body.
type replyHash [32]byte

// transcript is what a read hears of its backend, and what it heard the last time. Most
// replies are the very same as before: what was made of them is, too, and decoding,
// normalizing and encoding them is nine tenths of what a read costs here. Only a read of one
// reply is recognised: which ones would follow is not known before the first is decoded.
type transcript struct {
	before  *replyHash       // nil: there is nothing to be recognised
	earlier adapters.Earlier // a list, some of whose rows may come again; nil for none

	mu         sync.Mutex
	replies    int
	odd        bool // one was not 200
	last       replyHash
	recognised bool
	place      int // in the earlier list, behind what came again
}

// errRecognised ends a read whose reply is known.
var errRecognised = errors.New("the reply is the same as before")

// heard is the hash of the only reply; nil if there were others, or none.
func (t *transcript) heard() *replyHash {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.replies != 1 || t.odd:
		return nil
	case t.recognised:
		return t.before
	}
	last := t.last // and nothing else of this: it will be the next one's before
	return &last
}

// hear takes note of a reply, and reports whether it is known.
func (t *transcript) hear(r adapters.Response) bool {
	h := sha256.New()
	_, _ = h.Write([]byte(r.Header.Get("Content-Type") + "\n")) // it never fails
	_, _ = h.Write(r.Body)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replies++
	t.odd = t.odd || r.Status != 200
	h.Sum(t.last[:0])
	t.recognised = t.replies == 1 && !t.odd && t.before != nil && t.last == *t.before
	return t.recognised
}

// withoutKnown has a reply decoded without the rows that are as they were, and reports whether
// that is as good as decoding it whole. If it is not, nothing is said of it: the whole tells
// what is wrong.
func (t *transcript) withoutKnown(r adapters.Response, decode func(adapters.Response) error) bool {
	if t.earlier == nil || r.Status != 200 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	less, known, place := adapters.LeaveOut(r.Body, t.earlier, t.place)
	if known == nil {
		return false
	}
	r.Body, r.Known = less, known
	if decode(r) != nil || !known.All() {
		return false
	}
	t.place = place
	return true
}

// recognise has the replies of reads heard, and does not have one decoded that is known: the
// backend has answered well, and the adapter's read ends.
func recognise(next adapters.Exchange) adapters.Exchange {
	return func(ctx context.Context, req *adapters.Request) error {
		read := readingOf(ctx)
		if read == nil {
			return next(ctx, req)
		}
		t := &read.heard
		decode, known := req.Decode, false
		req.LendBody = t.before != nil
		req.Decode = func(r adapters.Response) error {
			if known = t.hear(r); known {
				return nil
			}
			if r.BodyLent { // what is made of it keeps parts of it
				r.Body, r.BodyLent = bytes.Clone(r.Body), false
			}
			if t.withoutKnown(r, decode) {
				return nil
			}
			return decode(r)
		}
		if err := next(ctx, req); err != nil || !known {
			return err
		}
		return errRecognised
	}
}

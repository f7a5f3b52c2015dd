package gateway

import (
	"net/http"
	"sync/atomic"
	"time"
	"weak"

	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// replay is how a head was answered from memory, as it was sent, for as long as its recipe
// holds. Only the fields that differ each time are not in it: the request's id, the date,
// the answer's age, and what is left of the key's limit. It is safe for concurrent use.
type replay struct {
	recipe weak.Pointer[recipe] // remembered has it
	clears uint64               // of remembered, when it was made
	status int
	head   []byte // status line and fields; neither those that differ, nor the empty line
	coding payload.Coding
	secure bool // over TLS

	touched atomic.Int64 // when remembered was last told that it is asked for, in seconds since 1970
	served  *telemetry.Durations
}

// newReplay is of an answer that was made of a recipe.
func (s *Server) newReplay(x *exchange, u *understood, of *recipe, clears uint64) *replay {
	r := &replay{recipe: weak.Make(of), clears: clears, coding: u.form.coding, secure: x.secure}
	r.head, _, r.status = x.answer.appendHead(nil, u.form, x.state.cors())
	r.served = s.gateway.telemetry.Served(x.measured(r.status))
	return r
}

// body is what is sent behind the head, and the recipe, if the answer is right still.
func (r *replay) body(remembered *remembered, now time.Time) (*recipe, []byte, bool) {
	of := r.recipe.Value()
	if of == nil || r.clears != remembered.clears.Load() || !of.holds(now) {
		return nil, nil, false
	}
	body := of.body.Value()
	if body == nil {
		return nil, nil, false
	}
	if r.status == http.StatusNotModified {
		return of, nil, true
	}
	bytes, _ := body.In(r.coding)
	return of, bytes, true
}

// again answers a request as it was answered before, if that is right still.
func (s *Server) again(x *exchange, u *understood) bool {
	g := s.gateway
	if r := u.replay.Load(); r != nil && x.replays && r.secure == x.secure {
		if of, body, ok := r.body(g.remembered, x.began); ok {
			if now := x.began.Unix(); r.touched.Load() != now {
				r.touched.Store(now)
				g.remembered.touch(u.wish)
			}
			g.tell(of, x)
			x.replay, x.body, x.answer.oldest, x.served = r, body, of.answer.oldest, r.served
			return true
		}
	}
	clears := g.remembered.clears.Load()
	known, ready, ok := g.remembered.again(u.wish, x.began)
	if !ok {
		return false
	}
	g.tell(known, x)
	x.answer, x.answered = ready, true
	if u.kept {
		u.replay.Store(s.newReplay(x, u, known, clears))
	}
	return true
}

package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/normalize"
)

// resume is where the cursor says that the walk goes on; nil for its start.
func (g *Gateway) resume(caller *Caller, q ListQuery) (*position, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	p, err := g.state.Load().cursors.open(q.Cursor)
	if err != nil {
		return nil, newProblem(CodeCursorInvalid, "cursor is not one that this gateway gave")
	}
	if p.List != q.identity(caller) {
		return nil, newProblem(CodeCursorMismatch, "cursor was given for other parameters or another key")
	}
	return &p, nil
}

// identity is the hash of whose walk it is and which backends it goes over, in
// which order: a walk does not survive a change of either. The limit may
// change on the way.
func (q ListQuery) identity(caller *Caller) [32]byte {
	h := sha256.New()
	for _, list := range [][]string{{caller.KeyID}, q.walked} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(list))) // a hash never fails
		for _, s := range list {
			_ = binary.Write(h, binary.BigEndian, uint64(len(s)))
			h.Write([]byte(s))
		}
	}
	return [32]byte(h.Sum(nil))
}

// page writes one page out of the encoded rows.
func (g *Gateway) page(caller *Caller, parts []part, q ListQuery, after *position) (*response, error) {
	pages := pager{limit: q.Limit, raw: q.Raw, after: after}
	body := []byte(`{"object":"list","data":[`)
	for _, p := range parts {
		var err error
		if body, err = pages.add(body, p); err != nil {
			return nil, err
		}
	}
	tail := struct {
		Complete     bool      `json:"complete"`
		Sources      []Source  `json:"sources"`
		NextCursor   *string   `json:"next_cursor"`
		ResumeCursor *string   `json:"resume_cursor"`
		Warnings     []Warning `json:"warnings"`
	}{Complete: true}
	for _, p := range parts {
		tail.Sources = append(tail.Sources, p.source)
		tail.Complete = tail.Complete && p.source.Status == SourceOK
	}
	if pages.more {
		pages.last.List = q.identity(caller)
		cursor, err := g.state.Load().cursors.seal(pages.last)
		if err != nil {
			return nil, err
		}
		tail.NextCursor = &cursor
	}
	encoded, err := json.Marshal(tail)
	if err != nil {
		return nil, err
	}
	body = append(append(body, ']', ','), encoded[1:]...)
	r := &response{status: 200, body: body, parts: parts, read: true}
	if oldest, ok := oldest(parts); ok {
		r.header("Age", age(oldest))
	}
	if !tail.Complete {
		r.header("X-Agentgw-Complete", "false")
	}
	return r, nil
}

// oldest is when the oldest snapshot of a list was fetched.
func oldest(parts []part) (at time.Time, ok bool) {
	for _, p := range parts {
		if p.snapshot != nil && (!ok || p.snapshot.Fetched.Before(at)) {
			at, ok = p.snapshot.Fetched, true
		}
	}
	return at, ok
}

// age is the seconds since then, as the header Age has them (RFC 9111).
func age(at time.Time) string { return strconv.Itoa(int(time.Since(at).Seconds())) }

// pager takes the rows of one page: by position after an agent, never by
// offset, so that nothing is seen twice or missed when others come or go.
type pager struct {
	limit int
	raw   bool
	after *position

	taken  int
	last   position
	passed bool // the walk has come to the cursor's backend
	more   bool
}

func (p *pager) add(body []byte, part part) ([]byte, error) {
	// Whether the walk has come to this backend does not depend on whether it
	// answered.
	if !p.reached(part) || part.snapshot == nil || p.more {
		return body, nil
	}
	first := 0
	if p.after != nil {
		if p.after.Backend == part.backend.Name {
			first, _ = slices.BinarySearchFunc(part.snapshot.Agents, p.after.Native, func(a *normalize.Agent, native string) int {
				if c := normalize.Compare(a.NativeID, native); c != 0 {
					return c
				}
				return -1 // the search ends behind the agent itself
			})
		}
	}
	for i := first; i < len(part.snapshot.Agents); i++ {
		if p.taken == p.limit {
			p.more = true
			return body, nil
		}
		row := part.snapshot.rows[i]
		agent := part.snapshot.Agents[i]
		if p.raw {
			var err error
			if row, err = agent.Encode(normalize.Form{WithSets: part.snapshot.differs(agent), WithRaw: true}); err != nil {
				return nil, err
			}
		}
		if p.taken > 0 {
			body = append(body, ',')
		}
		body = append(body, row...)
		p.taken++
		p.last = position{Backend: part.backend.Name, Native: agent.NativeID}
	}
	return body, nil
}

// reached reports whether the walk has come to this backend: the one that the
// cursor names, and those behind it in the configuration.
func (p *pager) reached(part part) bool {
	p.passed = p.passed || p.after == nil || p.after.Backend == part.backend.Name
	return p.passed
}

package gateway

import (
	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/catalog"
)

// resume is where the cursor says that the walk goes on.
func (g *Gateway) resume(caller *Caller, q ListQuery, backends []string) (catalog.Walk, error) {
	identity := q.identity(caller, backends)
	switch q.Cursor {
	case "":
		return catalog.Walk{List: identity}, nil
	case "null":
		return catalog.Walk{}, newProblem(CodeCursorInvalid, "cursor=null: the walk is at its end")
	}
	walk, err := g.state.Load().cursors.Open(q.Cursor)
	if err != nil {
		return walk, newProblem(CodeCursorInvalid, "cursor is not one that this gateway gave, or it was restarted since without a server.cursor_secret")
	}
	if walk.List != identity {
		return walk, newProblem(CodeCursorMismatch, "cursor was given for other filters, another order or view, other backends (a reload may have changed them), or another key; repeat every parameter but limit, include and require")
	}
	return walk, nil
}

// identity is the hash of whose walk it is and what it goes over, in which
// order: a walk does not survive a change of either. The limit may change on the
// way.
func (q ListQuery) identity(caller *Caller, backends []string) [32]byte {
	var h fields
	h = h.text(caller.KeyID)
	h = h.text(q.Text)
	h = h.number(uint64(q.Order.By))
	h = h.flag(q.Order.Descending)
	h = h.flag(q.Full)
	h = h.flag(q.Collapse)
	h = h.texts(backends)
	for _, f := range q.Filters {
		h = h.number(uint64(f.Field))
		h = h.texts(f.Values)
	}
	return h.sum()
}

// keyOf tells pages apart that were asked for.
func (q ListQuery) keyOf(w catalog.Walk) (pageKey, error) {
	h := fields(w.List[:])
	h = h.number(uint64(q.Limit))
	h = h.flag(q.Raw)
	if w.After != nil || w.Tracks != nil || w.Owed != nil || w.Doubtful != nil {
		standing, err := json.Marshal(w)
		if err != nil {
			return pageKey{}, err
		}
		h = append(h, standing...)
	}
	return h.sum(), nil
}

// madeOfParts is the hash of all that a page shows beside what was asked for.
func madeOfParts(parts []part, found catalog.Page) madeOf {
	h := make(fields, 0, 64*len(parts)+32*len(found.Rows))
	for _, p := range parts {
		h = h.flag(p.snapshot != nil)
		if p.snapshot != nil {
			h = h.number(p.snapshot.ID)
			h = h.number(uint64(p.listed.Unix()))
		}
		h = h.text(p.source.Status)
		h = h.flag(p.source.Error != nil)
		if e := p.source.Error; e != nil {
			h = h.text(string(e.Code))
			h = h.flag(e.RetryAfterS != nil)
			if e.RetryAfterS != nil {
				h = h.number(uint64(*e.RetryAfterS))
			}
		}
	}
	for _, said := range found.Parts {
		h = h.number(uint64(said.Count))
		h = h.number(uint64(said.Unfiltered))
	}
	for _, r := range found.Rows {
		h = h.number(uint64(r.Part))
		h = h.number(uint64(r.Index))
		d := parts[r.Part].details[r.Index]
		h = h.flag(d != nil)
		if d != nil {
			h = h.number(d.ID)
		}
	}
	h = h.flag(found.Next != nil)
	h = h.flag(found.Resume != nil)
	return h.sum()
}

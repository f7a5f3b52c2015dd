package gateway

import (
	"github.com/agentgw/agentgw/gateway/catalog"
)

// resume is where the cursor says that the walk goes on.
func (s *agentService) resume(caller *Caller, q ListQuery, backends []string) (catalog.Cursor, error) {
	identity := q.identity(caller, backends)
	switch q.Cursor {
	case "":
		return catalog.Cursor{List: identity}, nil
	case "null":
		return catalog.Cursor{}, newProblem(CodeCursorInvalid, "cursor=null: the walk is at its end")
	}
	walk, err := s.Cursors().Open(q.Cursor)
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

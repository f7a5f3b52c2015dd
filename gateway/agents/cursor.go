package agents

import (
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/problem"
)

// openCursor is where the cursor says that the walk goes on.
func (s *Service) openCursor(caller *auth.Caller, q ListQuery, backends []string) (catalog.Cursor, error) {
	identity := q.hash(caller, backends)
	switch q.Cursor {
	case "":
		return catalog.Cursor{List: identity}, nil
	case "null":
		return catalog.Cursor{}, problem.New(problem.CodeCursorInvalid, "cursor=null: the walk is at its end")
	}
	walk, err := s.Cursors().Open(q.Cursor)
	if err != nil {
		return walk, problem.New(problem.CodeCursorInvalid, "cursor is not one that this gateway gave, or it was restarted since without a server.cursor_secret")
	}
	if walk.List != identity {
		return walk, problem.New(problem.CodeCursorMismatch, "cursor was given for other filters, another order or view, other backends (a reload may have changed them), or another key; repeat every parameter but limit, include and require")
	}
	return walk, nil
}

// hash is the hash of whose walk it is and what it goes over, in which
// order: a walk does not survive a change of either. The limit may change on the
// way.
func (q ListQuery) hash(caller *auth.Caller, backends []string) [32]byte {
	var h digest.Fields
	h = h.Text(caller.KeyID)
	h = h.Text(q.Text)
	h = h.Number(uint64(q.Order.By))
	h = h.Flag(q.Order.Descending)
	h = h.Flag(q.Full)
	h = h.Flag(q.Collapse)
	h = h.Texts(backends)
	for _, f := range q.Filters {
		h = h.Number(uint64(f.Field))
		h = h.Texts(f.Values)
	}
	return h.Sum()
}

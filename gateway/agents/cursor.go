package agents

import (
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/problem"
)

// openCursor returns the position that the query's cursor encodes, or the start of the list
// without one. A cursor is valid only for the key, backends, filters, order and view that it was
// issued for.
func (s *Service) openCursor(caller *auth.Caller, q ListQuery, backends []string) (catalog.Cursor, error) {
	list := q.hash(caller, backends)
	switch q.Cursor {
	case "":
		return catalog.Cursor{List: list}, nil
	case "null":
		return catalog.Cursor{}, problem.New(problem.CodeCursorInvalid, "cursor=null: a null next_cursor marks the last page; leave cursor out to start again")
	}
	cursor, err := s.Cursors().Open(q.Cursor)
	if err != nil {
		return cursor, problem.New(problem.CodeCursorInvalid, "cursor was not issued by this gateway, or the gateway was restarted without server.cursor_secret; leave cursor out to start again")
	}
	if cursor.List != list {
		return cursor, problem.New(problem.CodeCursorMismatch, "cursor was issued for other filters, another order or view, other backends (a configuration reload may have changed them) or another key; repeat all parameters of the first page except limit, include and require")
	}
	return cursor, nil
}

// sealCursor returns the encrypted cursor, or nil for none.
func (s *Service) sealCursor(c *catalog.Cursor) (*string, error) {
	if c == nil {
		return nil, nil
	}
	sealed, err := s.Cursors().Seal(*c)
	return &sealed, err
}

// hash identifies the list that a cursor belongs to. It covers everything that determines which
// agents the list contains and in which order; the limit may change from page to page.
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

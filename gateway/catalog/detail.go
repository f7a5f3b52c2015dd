package catalog

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// Detail is one agent in full view, encoded once. It is immutable and safe for concurrent
// use.
type Detail struct {
	// ID is unique among the details of this process.
	ID    uint64
	Agent *normalize.Agent
	Row   normalize.Row

	body   func() *payload.EncodedBody
	etag   func() string
	joined atomic.Pointer[joinedDetail]
}

// joinedDetail is a detail completed with a row of a list.
type joinedDetail struct {
	row    rowID
	detail *Detail
}

// NewDetail returns the detail of an agent that was read by itself.
func NewDetail(info *adapters.Info, a *normalize.Agent) (*Detail, error) {
	row, err := a.Row()
	if err != nil {
		return nil, notEncoded(info, adapters.OpGet, err)
	}
	return newDetail(a, row), nil
}

func newDetail(a *normalize.Agent, row normalize.Row) *Detail {
	d := &Detail{ID: lastID.Add(1), Agent: a, Row: row}
	d.body = sync.OnceValue(func() *payload.EncodedBody {
		return payload.New(row.Append(make([]byte, 0, len(row)+1<<9), a.Ending()))
	})
	d.etag = sync.OnceValue(func() string {
		revision, err := a.Revision()
		if err != nil { // impossible: newDetail was given its encoding
			return ""
		}
		return ETag(revision)
	})
	return d
}

// ETag returns a revision as a strong entity tag (RFC 9110, 8.8.3).
func ETag(revision string) string { return `"` + revision + `"` }

// Body returns the response body of a read of the agent.
func (d *Detail) Body() *payload.EncodedBody { return d.body() }

// BodyWithRaw is Body with the provider's own JSON.
func (d *Detail) BodyWithRaw() *payload.EncodedBody {
	return payload.New(d.Row.AppendWithRaw(nil, d.Agent.Ending(), d.Agent.RawList, d.Agent.RawDetail))
}

// ETag returns a strong entity tag (RFC 9110, 8.8.3) of the agent's configuration. Usage and
// timestamps do not change it, and it is the same in every content coding.
func (d *Detail) ETag() string { return d.etag() }

// Join returns the detail completed with the fields that only the agent's row in a list
// shows. It keeps the last result. The zero RowRef adds nothing.
func (d *Detail) Join(info *adapters.Info, row RowRef) (*Detail, error) {
	if row.IsZero() {
		return d, nil
	}
	id := rowID{row.snapshot.ID, row.index}
	if last := d.joined.Load(); last != nil && last.row == id {
		return last.detail, nil
	}
	joined, err := NewDetail(info, normalize.Join(d.Agent, row.snapshot.Agent(row.index)))
	if err != nil {
		return nil, err
	}
	d.joined.Store(&joinedDetail{id, joined})
	return joined, nil
}

// Size returns an estimate of the detail's memory in bytes. It includes the body and the
// joined detail, whether or not they exist yet.
func (d *Detail) Size() int64 {
	return 3*sizeOf(d.Agent, d.Row) + int64(unsafe.Sizeof(*d))
}

// sizeOf estimates the memory of an agent and its row in bytes. The agent's strings are
// about as long as its raw JSON.
func sizeOf(a *normalize.Agent, row normalize.Row) int64 {
	return int64(unsafe.Sizeof(normalize.Agent{})) + 650 + int64(len(row)+2*(len(a.RawList)+len(a.RawDetail))+len(a.ID))
}

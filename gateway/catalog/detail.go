package catalog

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// Detail is one agent in full view, encoded once. It is not changed after it
// was made, and safe for concurrent use.
type Detail struct {
	// ID tells it from every other detail of this process.
	ID    uint64
	Agent *normalize.Agent
	Row   normalize.Row

	answer func() *payload.EncodedBody
	etag   func() string
	joined atomic.Pointer[join]
}

// join is a detail completed with a row of the list.
type join struct {
	row    rowID
	detail *Detail
}

// NewDetail encodes an agent that was read by itself.
func NewDetail(info *adapters.Info, a *normalize.Agent) (*Detail, error) {
	row, err := a.Row()
	if err != nil {
		return nil, notEncoded(info, adapters.OpGet, err)
	}
	return newDetail(a, row), nil
}

func newDetail(a *normalize.Agent, row normalize.Row) *Detail {
	d := &Detail{ID: lastID.Add(1), Agent: a, Row: row}
	d.answer = sync.OnceValue(func() *payload.EncodedBody {
		return payload.New(row.Append(make([]byte, 0, len(row)+1<<9), a.Ending()))
	})
	d.etag = sync.OnceValue(func() string {
		revision, err := a.Revision()
		if err != nil { // what was encoded once can be encoded again
			return ""
		}
		return Tag(revision)
	})
	return d
}

// Tag is a revision as a strong entity tag (RFC 9110, 8.8.3).
func Tag(revision string) string { return `"` + revision + `"` }

// Answer is the agent as it is answered by itself.
func (d *Detail) Answer() *payload.EncodedBody { return d.answer() }

// AnswerWithRaw is Answer with the vendor's own JSON.
func (d *Detail) AnswerWithRaw() *payload.EncodedBody {
	return payload.New(d.Row.AppendWithRaw(nil, d.Agent.Ending(), d.Agent.RawList, d.Agent.RawDetail))
}

// ETag is a strong entity tag (RFC 9110, 8.8.3) of the agent's configuration,
// not of its usage or timestamps; the same in every coding.
func (d *Detail) ETag() string { return d.etag() }

// Join is the detail completed with what only the agent's row in the list
// shows; the last such join is remembered. None completes nothing.
func (d *Detail) Join(info *adapters.Info, row Listed) (*Detail, error) {
	if row.IsZero() {
		return d, nil
	}
	id := rowID{row.of.ID, row.index}
	if known := d.joined.Load(); known != nil && known.row == id {
		return known.detail, nil
	}
	whole, err := NewDetail(info, normalize.Join(d.Agent, row.of.Agent(row.index)))
	if err != nil {
		return nil, err
	}
	d.joined.Store(&join{id, whole})
	return whole, nil
}

// Size is the memory that the detail takes, in bytes, by estimate: it counts
// the answer, and the join, whether they have been made or not.
func (d *Detail) Size() int64 {
	return 3*sizeOf(d.Agent, d.Row) + int64(unsafe.Sizeof(*d))
}

// sizeOf: the agent's own strings are about as long as its raw JSON.
func sizeOf(a *normalize.Agent, row normalize.Row) int64 {
	return int64(unsafe.Sizeof(normalize.Agent{})) + 650 + int64(len(row)+2*(len(a.RawList)+len(a.RawDetail))+len(a.ID))
}

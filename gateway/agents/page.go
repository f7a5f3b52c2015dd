package agents

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// listPage is one page of a list before it is encoded.
type listPage struct {
	query   ListQuery
	cursor  catalog.Cursor // where the page begins
	sources []Source
	page    catalog.Page
}

// listTail holds the fields of a list after its rows.
type listTail struct {
	Complete     bool              `json:"complete"`
	Sources      []problem.Source  `json:"sources"`
	NextCursor   *string           `json:"next_cursor"`
	ResumeCursor *string           `json:"resume_cursor"`
	Warnings     []problem.Warning `json:"warnings"`
}

// listResult encodes a page. Rows are copied as stored, not decoded and encoded again.
func (s *Service) listResult(l listPage) (*Result, error) {
	body := append(make([]byte, 0, l.estimateSize()), `{"object":"list","data":[`...)
	start := len(body)
	body = l.appendRows(body)
	rows := body[start:]

	tail := listTail{Complete: true, Warnings: problem.BoundedWarnings(l.warnings(), problem.MaxWarnings)}
	for _, source := range l.sources {
		tail.Sources = append(tail.Sources, source.Report)
		tail.Complete = tail.Complete && source.Report.Status == problem.SourceOK
	}
	etag, err := l.etag(s.Cursors().ID, rows, tail.Sources)
	if err != nil {
		return nil, err
	}
	if tail.NextCursor, err = s.sealCursor(l.page.Next); err != nil {
		return nil, err
	}
	if tail.ResumeCursor, err = s.sealCursor(l.page.Resume); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(tail)
	if err != nil {
		return nil, err
	}
	return &Result{
		Body: payload.New(append(append(body, ']', ','), encoded[1:]...)), ETag: etag,
		Sources: l.sources, IsRead: true, ReadAt: l.oldestRead(),
		Cacheable: l.query.Cursor == "", Incomplete: !tail.Complete,
	}, nil
}

func (l listPage) appendRows(body []byte) []byte {
	readers := make([]rowReader, len(l.sources))
	for i, s := range l.sources {
		if s.snapshot != nil {
			readers[i] = rowReader{row: s.snapshot.Rows(), raw: s.snapshot.Raw()}
		}
	}
	for i, r := range l.page.Rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = l.sources[r.Part].appendRow(body, r.Index, l.query, readers[r.Part])
	}
	return body
}

// oldestRead returns when the oldest data was read, or the zero time if no source was read.
func (l listPage) oldestRead() (at time.Time) {
	for _, s := range l.sources {
		if s.snapshot != nil && (at.IsZero() || s.oldestRead.Before(at)) {
			at = s.oldestRead
		}
	}
	return at
}

// estimateSize returns roughly how many bytes the encoded page takes.
func (l listPage) estimateSize() int {
	size := 4 << 10
	for _, r := range l.page.Rows {
		size += l.sources[r.Part].snapshot.RowLen(r.Index) + 64
	}
	return size
}

// warnings returns those about the query, and then those about what providers sent.
func (l listPage) warnings() []problem.Warning {
	warnings := l.queryWarnings()
	for _, s := range l.sources {
		if s.snapshot == nil {
			continue
		}
		for _, w := range s.snapshot.Warnings {
			warnings = append(warnings, problem.NewWarning(string(w.Code), w.Pointer, s.Backend.Name, w.Message))
		}
	}
	return warnings
}

// queryWarnings returns a warning for each part of the query that has no effect, because a
// backend's list lacks the field or because no agent can have the value.
func (l listPage) queryWarnings() []problem.Warning {
	warnings := []problem.Warning{}
	matching := 0
	for _, s := range l.sources {
		matching += s.Report.Count
		if s.snapshot == nil {
			continue
		}
		warnings = append(warnings, l.orderWarnings(s)...)
		if s.Report.Unfiltered == nil {
			continue
		}
		for _, name := range s.Report.Unfiltered.Names() {
			f, _ := normalize.FieldByName(name)
			message := "agents of this backend that do not show " + name + " are left out"
			if s.snapshot.NotLoaded.Has(f) && !l.query.Full {
				message += "; use view=full to load it"
			}
			warnings = append(warnings, problem.NewWarning("filter_not_applicable", f.Pointer(), s.Backend.Name, message))
		}
	}
	if matching > 0 {
		return warnings
	}
	for _, f := range l.query.Filters {
		known := normalize.KnownValues(f.Field)
		for _, v := range f.Values {
			if known == nil || slices.Contains(known, v) {
				continue
			}
			message := fmt.Sprintf("%s=%q matches no agent; known values are %s", f.Field, normalize.Shorten(v), strings.Join(known, ", "))
			if near := normalize.Nearest(v, known); near != "" {
				message += "; did you mean " + near + "?"
			}
			warnings = append(warnings, problem.NewWarning("unknown_value", "", "", message))
		}
	}
	return warnings
}

// orderWarnings returns a warning if the agents of a source have no value to be sorted by.
func (l listPage) orderWarnings(s Source) []problem.Warning {
	f := l.query.Order.Field()
	switch {
	case l.query.Order.By == catalog.ByID:
		return nil
	case s.snapshot.Unavailable.Has(f):
		return []problem.Warning{problem.NewWarning("unordered", f.Pointer(), s.Backend.Name, "this backend's agents are sorted last, because its provider does not show "+f.Name())}
	case s.snapshot.NotLoaded.Has(f) && !l.query.Full:
		return []problem.Warning{problem.NewWarning("unordered", f.Pointer(), s.Backend.Name, "this backend's agents are sorted last, because its list does not include "+f.Name()+"; use view=full to load it")}
	}
	return nil
}

// etag returns a weak entity tag (RFC 9110, section 8.8.3) of a page with the given encoded rows.
// It leaves out when data was read, and the cursors, whose encryption is randomized. The cursor's
// list hash includes the API key, so the tags of two keys always differ. A page with a cursor also
// depends on the sealer's id: the caller must not keep a cursor that can no longer be opened.
func (l listPage) etag(sealerID [8]byte, rows []byte, reports []problem.Source) (string, error) {
	rowsSum := sha256.Sum256(rows)
	h := append(slices.Clone(digest.Fields(l.cursor.List[:])), rowsSum[:]...)
	for _, report := range reports {
		report.FetchedAt = nil
		if report.Error != nil {
			report.Error = &problem.SourceFailure{Code: report.Error.Code}
		}
		encoded, err := json.Marshal(report)
		if err != nil {
			return "", err
		}
		h = h.Text(string(encoded))
	}
	h = h.Flag(l.page.Next != nil)
	h = h.Flag(l.page.Resume != nil)
	if l.page.Next != nil || l.page.Resume != nil {
		h = append(h, sealerID[:]...)
	}
	sum := h.Sum()
	return catalog.WeakETag(sum[:]), nil
}

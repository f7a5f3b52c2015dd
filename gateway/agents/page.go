package agents

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// answerList answers one page of a list.
func (s *Service) answerList(parts []Source, found catalog.Page, q ListQuery, w catalog.Cursor) (*Result, error) {
	made, err := s.makePage(parts, found, q, w)
	if err != nil {
		return nil, err
	}
	return &Result{
		Body: made.body, ETag: made.etag, Sources: parts, IsRead: true, ReadAt: oldestRead(parts), Cacheable: q.Cursor == "", Incomplete: !made.complete,
	}, nil
}

// page is an encoded page of a list.
type page struct {
	body     *payload.EncodedBody
	etag     string
	complete bool
}

// makePage writes one page out of the encoded rows.
func (s *Service) makePage(parts []Source, found catalog.Page, q ListQuery, w catalog.Cursor) (page, error) {
	made := page{complete: true}
	body := append(make([]byte, 0, estimateSize(parts, found)), `{"object":"list","data":[`...)
	start := len(body)
	read := make([]rowReader, len(parts))
	for i, p := range parts {
		if p.snapshot != nil {
			read[i] = rowReader{row: p.snapshot.Rows(), raw: p.snapshot.Raw()}
		}
	}
	for i, r := range found.Rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = parts[r.Part].appendRow(body, r.Index, q, read[r.Part])
	}
	data := body[start:]

	tail := struct {
		Complete     bool              `json:"complete"`
		Sources      []problem.Source  `json:"sources"`
		NextCursor   *string           `json:"next_cursor"`
		ResumeCursor *string           `json:"resume_cursor"`
		Warnings     []problem.Warning `json:"warnings"`
	}{Complete: true, Warnings: listWarnings(parts, q)}
	for _, p := range parts {
		tail.Sources = append(tail.Sources, p.Report)
		tail.Complete = tail.Complete && p.Report.Status == problem.SourceOK
	}
	made.complete = tail.Complete
	var err error
	if made.etag, err = listETag(w.List, s.Cursors().ID, data, tail.Sources, found); err != nil {
		return made, err
	}
	if tail.NextCursor, err = s.sealCursor(found.Next); err != nil {
		return made, err
	}
	if tail.ResumeCursor, err = s.sealCursor(found.Resume); err != nil {
		return made, err
	}
	encoded, err := json.Marshal(tail)
	if err != nil {
		return made, err
	}
	made.body = payload.New(append(append(body, ']', ','), encoded[1:]...))
	return made, nil
}

// oldestRead is when the oldest part was read; the zero time if none was.
func oldestRead(parts []Source) (at time.Time) {
	for _, p := range parts {
		if p.snapshot != nil && (at.IsZero() || p.oldestRead.Before(at)) {
			at = p.oldestRead
		}
	}
	return at
}

// listWarnings are what a caller may not have meant.
func listWarnings(parts []Source, q ListQuery) []problem.Warning {
	warnings := []problem.Warning{}
	matching := 0
	for _, p := range parts {
		matching += p.Report.Count
		if p.snapshot == nil {
			continue
		}
		if f := q.Order.Field(); p.snapshot.NotLoaded.Has(f) && !q.Full {
			warnings = append(warnings, problem.NewWarning("unordered", "", p.Backend.Name, fmt.Sprintf("the list does not show %s, so these agents come last; view=full reads it", f)))
		}
	}
	for _, f := range q.Filters {
		known := normalize.KnownValues(f.Field)
		for _, v := range f.Values {
			if matching > 0 || known == nil || slices.Contains(known, v) {
				continue
			}
			message := fmt.Sprintf("%s=%q is none of %s, and no agent has it", f.Field, normalize.Shorten(v), strings.Join(known, ", "))
			if near := normalize.Nearest(v, known); near != "" {
				message += "; did you mean " + near + "?"
			}
			warnings = append(warnings, problem.NewWarning("unknown_value", "", "", message))
		}
	}
	return warnings
}

// estimateSize is about how many bytes a page takes.
func estimateSize(parts []Source, found catalog.Page) int {
	size := 4 << 10
	for _, r := range found.Rows {
		size += parts[r.Part].snapshot.RowLen(r.Index) + 64
	}
	return size
}

func (s *Service) sealCursor(w *catalog.Cursor) (*string, error) {
	if w == nil {
		return nil, nil
	}
	cursor, err := s.Cursors().Seal(*w)
	return &cursor, err
}

// listETag is a weak entity tag (RFC 9110, 8.8.3): it leaves out when things were
// read, and the cursors, which are sealed anew each time. Two keys never have the
// same: not even of nothing is one told that it has what the other has.
func listETag(list [32]byte, sealer [8]byte, data []byte, sources []problem.Source, found catalog.Page) (string, error) {
	shown := sha256.Sum256(data)
	h := append(slices.Clone(digest.Fields(list[:])), shown[:]...)
	for _, s := range sources {
		s.FetchedAt = nil
		if s.Error != nil {
			s.Error = &problem.SourceFailure{Code: s.Error.Code}
		}
		encoded, err := json.Marshal(s)
		if err != nil {
			return "", err
		}
		h = h.Text(string(encoded))
	}
	h = h.Flag(found.Next != nil)
	h = h.Flag(found.Resume != nil)
	if found.Next != nil || found.Resume != nil { // a cursor that nobody can open is not as good
		h = append(h, sealer[:]...)
	}
	sum := h.Sum()
	return catalog.WeakETag(sum[:]), nil
}

// commonFieldSets are what a source says of its rows: what most of them do, of the page
// where it is in full view, else of the snapshot.
func (p *Source) commonFieldSets(i int, found catalog.Page, q ListQuery) (unavailable, notLoaded normalize.FieldSet) {
	if !q.Full {
		return p.snapshot.Unavailable, p.snapshot.NotLoaded
	}
	var sets []catalog.FieldSets
	for _, r := range found.Rows {
		if r.Part == i {
			sets = append(sets, p.rowFieldSets(r.Index))
		}
	}
	return catalog.MostCommonFieldSets(sets, catalog.FieldSets{Unavailable: p.Backend.Info.Unavailable(), NotLoaded: p.Backend.Info.NotLoaded(adapters.InList | adapters.InGet)})
}

// rowFieldSets are those of an agent, as full as it was read.
func (p *Source) rowFieldSets(i int) catalog.FieldSets {
	if d := p.details[i]; d != nil {
		return catalog.FieldSets{Unavailable: d.Agent.Unavailable, NotLoaded: d.Agent.NotLoaded}
	}
	return p.snapshot.FieldSets(i)
}

// rowReader reads what a snapshot has of its agents; each is over when the next one is read.
type rowReader struct{ row, raw func(i int) []byte }

var (
	basicEnding = normalize.NewEnding(normalize.ViewBasic)
	fullEnding  = normalize.NewEnding(normalize.ViewFull)
)

// appendRow writes an agent as the page shows it. A row that differs from its
// source carries its own sets.
func (p *Source) appendRow(dst []byte, i int, q ListQuery, of rowReader) []byte {
	sets, d := p.rowFieldSets(i), p.details[i]
	var row normalize.Row
	if d != nil {
		row = d.Row
	} else {
		row = of.row(i)
	}
	ending := basicEnding
	// An agent of whom the list shows all that there is, is in full view too.
	if q.Full && (d != nil || sets.NotLoaded == 0) {
		ending = fullEnding
	}
	if sets.Unavailable != *p.Report.Unavailable || sets.NotLoaded != *p.Report.NotLoaded {
		ending = ending.WithSets(sets.Unavailable, sets.NotLoaded)
	}
	switch {
	case !q.IncludeRaw:
		return row.Append(dst, ending)
	case d != nil:
		return row.AppendWithRaw(dst, ending, d.Agent.RawList, d.Agent.RawDetail)
	}
	return row.AppendWithRaw(dst, ending, of.raw(i), nil)
}

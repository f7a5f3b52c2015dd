package agents

import (
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Source is what one backend contributed to a read.
type Source struct {
	Backend auth.CallerBackend
	// Report is the backend's entry in the "sources" of a list; zero for a get.
	Report problem.Source
	// Failure is why the report's status is not ok; nil if it is.
	Failure  *problem.Problem
	Cache    backend.CacheStatus
	Duration time.Duration // spent on the backend
	// Dependencies are the cache entries that served the source; empty if any of its data
	// came from elsewhere.
	Dependencies []backend.Dependency

	snapshot   *catalog.Snapshot // nil if the list could not be read
	stale      bool              // the snapshot is served although the backend failed
	listedAt   time.Time         // when the snapshot was read
	oldestRead time.Time         // when its oldest data, list or detail, was read
	// details are the rows that were loaded in full, by row index. A nil entry is a row
	// that could not be loaded.
	details map[int]*catalog.Detail
	// excluded are the indexes of rows to leave out: deleted since the list was read,
	// filtered out by their details, or superseded by an alias.
	excluded map[int]bool
}

// newSource returns the source of a list call that took the given time.
func newSource(b auth.CallerBackend, result backend.Result, err error, took time.Duration) Source {
	s := Source{Backend: b, Cache: result.Cache, Duration: took, Dependencies: result.Dependencies, Report: problem.Source{Backend: b.Name, Status: problem.SourceOK}}
	if err != nil {
		s.markFailed(problem.SourceError, adapters.OpList, err)
		return s
	}
	s.snapshot, s.listedAt, s.oldestRead = result.Snapshot, result.Fetched, result.Fetched
	switch {
	case result.Stale != nil:
		s.stale = true
		s.markFailed(problem.SourceStale, adapters.OpList, result.Stale)
	case s.snapshot.Partial != nil:
		s.markFailed(problem.SourcePartial, adapters.OpList, s.snapshot.Partial)
	}
	return s
}

// markFailed records why the source is not ok. The first failure is kept, except that partial
// replaces stale.
func (s *Source) markFailed(status string, op adapters.Operation, err error) {
	if s.Report.Status == problem.SourceOK || s.Report.Status == problem.SourceStale && status == problem.SourcePartial {
		s.setFailure(status, problem.FromBackend(s.Backend.Name, op, err))
	}
}

func (s *Source) setFailure(status string, failure *problem.Problem) {
	s.Report.Status, s.Failure = status, failure
	s.Report.Error = &problem.SourceFailure{Code: failure.Code}
	if failure.RetryAfter > 0 {
		seconds := problem.RetryAfterSeconds(failure.RetryAfter)
		s.Report.Error.RetryAfterS = &seconds
	}
}

// exclude leaves a row out of the list.
func (s *Source) exclude(row int) {
	if s.excluded == nil {
		s.excluded = map[int]bool{}
	}
	s.excluded[row] = true
}

// commonFieldSets returns the field sets that the source's report states for its rows: those of
// most rows on the page in full view, else those of the snapshot.
func (s *Source) commonFieldSets(index int, page catalog.Page, q ListQuery) (unavailable, notLoaded normalize.FieldSet) {
	if !q.Full {
		return s.snapshot.Unavailable, s.snapshot.NotLoaded
	}
	var sets []catalog.FieldSets
	for _, r := range page.Rows {
		if r.Part == index {
			sets = append(sets, s.rowFieldSets(r.Index))
		}
	}
	return catalog.MostCommonFieldSets(sets, catalog.FieldSets{Unavailable: s.Backend.Info.Unavailable(), NotLoaded: s.Backend.Info.NotLoaded(adapters.InList | adapters.InGet)})
}

// rowFieldSets returns the field sets of one row, as far as it was loaded.
func (s *Source) rowFieldSets(row int) catalog.FieldSets {
	if d := s.details[row]; d != nil {
		return catalog.FieldSets{Unavailable: d.Agent.Unavailable, NotLoaded: d.Agent.NotLoaded}
	}
	return s.snapshot.FieldSets(row)
}

var (
	basicEnding = normalize.NewEnding(normalize.ViewBasic)
	fullEnding  = normalize.NewEnding(normalize.ViewFull)
)

// rowReader reads encoded rows from a snapshot. The returned bytes are valid until the next call.
type rowReader struct{ row, raw func(i int) []byte }

// appendRow appends a row as JSON. A row states its own field sets if they differ from those of
// the source's report.
func (s *Source) appendRow(dst []byte, i int, q ListQuery, reader rowReader) []byte {
	sets, detail := s.rowFieldSets(i), s.details[i]
	var row normalize.Row
	if detail != nil {
		row = detail.Row
	} else {
		row = reader.row(i)
	}
	ending := basicEnding
	// A row to which a get would add nothing is in full view, too.
	if q.Full && (detail != nil || sets.NotLoaded == 0) {
		ending = fullEnding
	}
	if sets.Unavailable != *s.Report.Unavailable || sets.NotLoaded != *s.Report.NotLoaded {
		ending = ending.WithSets(sets.Unavailable, sets.NotLoaded)
	}
	switch {
	case !q.IncludeRaw:
		return row.Append(dst, ending)
	case detail != nil:
		return row.AppendWithRaw(dst, ending, detail.Agent.RawList, detail.Agent.RawDetail)
	}
	return row.AppendWithRaw(dst, ending, reader.raw(i), nil)
}

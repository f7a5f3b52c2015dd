package journal

import (
	"cmp"
	"encoding/hex"
	"math"
	"slices"
	"time"
)

// View is the content of a RequestLog, or what is new in it, as JSON for the console.
type View struct {
	// Entry is the revision of the entries and Event the number of the last event. Passed to
	// the next View they select what is new.
	Entry uint64 `json:"entry"`
	Event uint64 `json:"event"`
	// Start is the time of the first step of the series in seconds since 1970. The last step
	// has not ended.
	Start    int64             `json:"start"`
	StepS    int               `json:"step_s"`
	Gateway  Series            `json:"gateway"`
	Backends map[string]Series `json:"backends"`
	Requests []Request         `json:"requests"` // newest first
	Events   []Event           `json:"events"`   // newest first
	// Incomplete counts the sources that were missing from responses in the last Span, most
	// frequent first.
	Incomplete []IncompleteCount `json:"incomplete"`
}

// Series has the counters of each step, and quantiles of histogram in milliseconds, null for
// a step without requests or calls.
type Series struct {
	Answers           []uint32   `json:"answers"`
	IncompleteAnswers []uint32   `json:"incomplete_answers"`
	CallerErrors      []uint32   `json:"caller_errors"`
	FailedAnswers     []uint32   `json:"failed_answers"`
	Calls             []uint32   `json:"calls"`
	Failures          []uint32   `json:"failures"`
	Retries           []uint32   `json:"retries"`
	Reads             []uint32   `json:"reads"`
	FromCache         []uint32   `json:"from_cache"`
	P50               []*float64 `json:"p50_ms"`
	P95               []*float64 `json:"p95_ms"`
}

// Request is an entry as JSON.
type Request struct {
	Number    uint64     `json:"number"`
	At        time.Time  `json:"at"`
	RequestID string     `json:"request_id,omitzero"`
	Cause     string     `json:"cause,omitzero"` // the request that caused a refresh
	TraceID   string     `json:"trace_id,omitzero"`
	Method    string     `json:"method,omitzero"`
	Route     string     `json:"route,omitzero"`
	Status    int        `json:"status,omitzero"`
	Code      string     `json:"code,omitzero"`
	KeyID     string     `json:"key_id,omitzero"`
	TookMs    float64    `json:"took_ms"`
	Sources   []Source   `json:"sources,omitzero"`
	Calls     []CallView `json:"calls,omitzero"`
	More      int        `json:"more,omitzero"` // calls beyond these
	Whole     bool       `json:"whole"`         // it did not fail, and no source is missing
}

// CallView is a call as JSON.
type CallView struct {
	Backend   string  `json:"backend"`
	Operation string  `json:"operation"`
	AfterMs   float64 `json:"after_ms"` // since the entry began
	TookMs    float64 `json:"took_ms"`
	Status    int     `json:"status,omitzero"`
	Error     string  `json:"error,omitzero"`
	Failed    bool    `json:"failed,omitzero"`
	Resend    int     `json:"resend,omitzero"`
	Breaker   string  `json:"breaker,omitzero"`
	Shared    string  `json:"shared,omitzero"`
}

// IncompleteCount is the number of responses that a source was missing from.
type IncompleteCount struct {
	Incomplete
	Count uint32 `json:"count"`
}

// View returns the entries after a revision, the events after a number and the last steps of
// the series. View(0, 0, Steps) returns everything.
func (j *RequestLog) View(entry, event uint64, last int64) View {
	if j == nil {
		return View{}
	}
	v, entries := j.collect(entry, event, last)
	for _, e := range entries { // without the lock of j
		v.Requests = append(v.Requests, e.view())
	}
	slices.SortFunc(v.Requests, func(a, b Request) int { return cmp.Compare(b.Number, a.Number) })
	return v
}

// collect returns a View without its entries, and the entries.
func (j *RequestLog) collect(revision, event uint64, last int64) (View, []*Entry) {
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	end := stepNumber(now)
	begin := end - min(last, steps) + 1
	v := View{
		Entry: j.revisions, Event: j.eventCount,
		Start: begin * int64(Step) / int64(time.Second), StepS: int(Step / time.Second),
		Gateway: j.gateway.view(begin, end), Backends: map[string]Series{},
		Requests: []Request{}, Events: []Event{}, Incomplete: j.incomplete(end),
	}
	for name, s := range j.backends {
		v.Backends[name] = s.view(begin, end)
	}
	for _, e := range j.events.items {
		if e.Number > event {
			v.Events = append(v.Events, e)
		}
	}
	slices.SortFunc(v.Events, func(a, b Event) int { return cmp.Compare(b.Number, a.Number) })
	seen := map[*Entry]bool{}
	var entries []*Entry
	for _, kept := range []ring[*Entry]{j.recent, j.withCalls, j.failed} {
		for _, e := range kept.items {
			if !seen[e] && e.isNew(revision) {
				entries = append(entries, e)
			}
			seen[e] = true
		}
	}
	return v, entries
}

func (e *Entry) isNew(revision uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.revision > revision
}

// Steps is the number of steps of a Span.
const Steps = steps

func (j *RequestLog) incomplete(end int64) []IncompleteCount {
	sums := map[Incomplete]uint32{}
	for n := end - steps + 1; n <= end; n++ {
		if at := j.gateway.lookup(n); at != nil {
			for i, count := range at.incomplete {
				sums[i] += count
			}
		}
	}
	all := make([]IncompleteCount, 0, len(sums))
	for i, count := range sums {
		all = append(all, IncompleteCount{i, count})
	}
	slices.SortFunc(all, func(a, b IncompleteCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	return all
}

func (s *series) view(begin, end int64) Series {
	var v Series
	columns := [counterKinds]*[]uint32{
		answers: &v.Answers, incompleteAnswers: &v.IncompleteAnswers, callerErrors: &v.CallerErrors, failedAnswers: &v.FailedAnswers,
		calls: &v.Calls, failures: &v.Failures, retries: &v.Retries, reads: &v.Reads, fromCache: &v.FromCache,
	}
	for n := begin; n <= end; n++ {
		at := s.lookup(n)
		if at == nil {
			at = &counters{}
		}
		for kind, column := range columns {
			*column = append(*column, at.counts[kind])
		}
		v.P50, v.P95 = append(v.P50, at.latency.milliseconds(0.5)), append(v.P95, at.latency.milliseconds(0.95))
	}
	return v
}

// milliseconds returns the q quantile rounded to 10 µs, nil if there are no durations.
func (l *histogram) milliseconds(q float64) *float64 {
	ms, ok := l.quantile(q)
	if !ok {
		return nil
	}
	ms = math.Round(ms*100) / 100
	return &ms
}

func (e *Entry) view() Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := Request{
		Number: e.number, At: e.began.UTC(), RequestID: e.requestID, Cause: e.cause,
		Method: e.Method, Route: e.Route, Status: e.Status, Code: e.Code, KeyID: e.KeyID,
		TookMs: milliseconds(e.duration), Sources: e.Sources, More: e.omittedCalls, Whole: e.complete,
	}
	if e.Trace != [16]byte{} {
		r.TraceID = hex.EncodeToString(e.Trace[:])
	}
	for _, c := range e.calls {
		r.Calls = append(r.Calls, CallView{
			Backend: c.Backend, Operation: c.Operation, AfterMs: milliseconds(c.Began.Sub(e.began)), TookMs: milliseconds(c.Took),
			Status: c.Status, Error: c.Error, Failed: c.Failed, Resend: c.Resend, Breaker: c.Breaker, Shared: c.Shared,
		})
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

package journal

import (
	"math"
	"time"
)

// Counters cover the last Span in steps of Step.
const (
	Step  = 5 * time.Second
	Span  = 15 * time.Minute
	steps = int64(Span / Step)
)

// The counters, of the gateway and of each backend.
const (
	answers           = iota // complete responses
	incompleteAnswers        // responses that lack a source
	callerErrors             // responses to invalid requests
	failedAnswers            // responses to requests that failed
	calls                    // requests to a backend
	failures                 // calls that failed
	retries                  // calls that were retries
	reads                    // reads of lists and agents
	fromCache                // reads that were cache hits
	counterKinds
)

// series is a ring of the counters of the last Span.
type series [steps]counters

// counters are the counters of one step.
type counters struct {
	number     int64 // of the step; see stepNumber
	counts     [counterKinds]uint32
	latency    histogram
	incomplete map[Incomplete]uint32
}

// Incomplete is a source that was missing from a response, and the reason.
type Incomplete struct {
	Backend string `json:"backend"`
	Status  string `json:"status"`
	Code    string `json:"code,omitzero"`
}

// stepNumber returns the number of steps since 1970.
func stepNumber(at time.Time) int64 { return at.UnixNano() / int64(Step) }

// current returns the counters of the current step, which replace those of the step one Span
// ago.
func (s *series) current(now time.Time) *counters {
	n := stepNumber(now)
	at := &s[n%steps]
	if at.number != n {
		*at = counters{number: n}
	}
	return at
}

// lookup returns the counters of step n, nil if nothing was counterKinds in it.
func (s *series) lookup(n int64) *counters {
	if at := &s[n%steps]; at.number == n {
		return at
	}
	return nil
}

func (s *counters) addIncomplete(i Incomplete) {
	if s.incomplete == nil {
		s.incomplete = map[Incomplete]uint32{}
	}
	s.incomplete[i]++
}

// histogram counts durations in buckets. Each bucket is 25 % wider than the previous one, so
// a quantile is accurate to about 12 %.
type histogram [64]uint32

const (
	shortest = 50 * time.Microsecond
	growth   = 1.25
)

func (l *histogram) add(d time.Duration) {
	bucket := 0
	if d > shortest {
		bucket = int(math.Ceil(math.Log(float64(d)/float64(shortest)) / math.Log(growth)))
	}
	l[min(bucket, len(l)-1)]++
}

// quantile returns the q quantile in milliseconds, false if there are no durations.
func (l *histogram) quantile(q float64) (ms float64, ok bool) {
	var all uint32
	for _, n := range l {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	rank, seen := q*float64(all), uint32(0)
	bucket := 0
	for i, n := range l {
		if n == 0 {
			continue
		}
		seen += n
		bucket = i
		if float64(seen) >= rank {
			break
		}
	}
	return float64(shortest) * math.Pow(growth, float64(bucket)-0.5) / float64(time.Millisecond), true
}

package journal

import (
	"math"
	"time"
)

// Step is how finely the last Span is counted.
const (
	Step  = 5 * time.Second
	Span  = 15 * time.Minute
	steps = int64(Span / Step)
)

// What is counted: of the gateway and of each backend.
const (
	answers           = iota // of the gateway, whole
	incompleteAnswers        // of which a backend's part was not
	callerErrors             // that asked for what cannot be
	failedAnswers            // that are ours, or a backend's
	calls                    // requests to a backend
	failures                 // that failed
	retries                  // that were a second or third attempt
	reads                    // of lists and agents that were asked for
	fromCache                // of these, that asked no backend
	counted
)

// series are the counts of the last Span, in steps.
type series [steps]step

type step struct {
	number     int64 // since 1970; an older one counts no more
	counts     [counted]uint32
	latency    latencies
	incomplete map[Incomplete]uint32
}

// Incomplete is what a part of an answer was that was not whole, and why.
type Incomplete struct {
	Backend string `json:"backend"`
	Status  string `json:"status"`
	Code    string `json:"code,omitzero"`
}

func number(at time.Time) int64 { return at.UnixNano() / int64(Step) }

// at is the step of a time, which is now.
func (s *series) at(now time.Time) *step {
	n := number(now)
	at := &s[n%steps]
	if at.number != n {
		*at = step{number: n}
	}
	return at
}

// of is the step of that number; nil if nothing was counted in it.
func (s *series) of(n int64) *step {
	if at := &s[n%steps]; at.number == n {
		return at
	}
	return nil
}

func (s *step) note(i Incomplete) {
	if s.incomplete == nil {
		s.incomplete = map[Incomplete]uint32{}
	}
	s.incomplete[i]++
}

// latencies are durations, counted by size: each class is a quarter wider than the one
// before, so a quantile is right to within an eighth or so.
type latencies [64]uint32

const (
	shortest = 50 * time.Microsecond
	growth   = 1.25
)

func (l *latencies) add(d time.Duration) {
	class := 0
	if d > shortest {
		class = int(math.Ceil(math.Log(float64(d)/float64(shortest)) / math.Log(growth)))
	}
	l[min(class, len(l)-1)]++
}

// quantile is in milliseconds; false where nothing was counted.
func (l *latencies) quantile(q float64) (ms float64, ok bool) {
	var all uint32
	for _, n := range l {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	rank, seen := q*float64(all), uint32(0)
	class := 0
	for i, n := range l {
		if n == 0 {
			continue
		}
		seen += n
		class = i
		if float64(seen) >= rank {
			break
		}
	}
	return float64(shortest) * math.Pow(growth, float64(class)-0.5) / float64(time.Millisecond), true
}

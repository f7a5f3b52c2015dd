package backend

import "time"

// outcomeWindow counts the requests that ended within a rolling window, in windowBuckets
// buckets, and the failures since the last success. It is not safe for concurrent use.
type outcomeWindow struct {
	length      time.Duration
	consecutive int // failures
	buckets     [windowBuckets]struct {
		number          int64 // since 1970; the bucket is empty if it is not in the window
		calls, failures int
	}
}

const windowBuckets = 10

func (w *outcomeWindow) bucketNumber(now time.Time) int64 {
	return now.UnixNano() / max(1, int64(w.length)/windowBuckets)
}

func (w *outcomeWindow) add(now time.Time, success bool) {
	number := w.bucketNumber(now)
	b := &w.buckets[number%windowBuckets]
	if b.number != number {
		b.number, b.calls, b.failures = number, 0, 0
	}
	b.calls++
	w.consecutive++
	if success {
		w.consecutive = 0
	} else {
		b.failures++
	}
}

func (w *outcomeWindow) counts(now time.Time) (calls, failures int) {
	oldest := w.bucketNumber(now) - windowBuckets
	for _, b := range w.buckets {
		if b.number > oldest {
			calls += b.calls
			failures += b.failures
		}
	}
	return calls, failures
}

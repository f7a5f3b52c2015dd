package backend

import "time"

// outcomeWindow counts the requests that ended within a rolling window, in windowBuckets
// buckets, and the failures since the last success. It is not safe for concurrent use.
type outcomeWindow struct {
	length      time.Duration
	consecutive map[string]int // failures, by account
	buckets     [windowBuckets]outcomeBucket
}

type outcomeBucket struct {
	number   int64 // since 1970; the bucket is empty if it is not in the window
	calls    int
	failures map[string]int // by account
}

const windowBuckets = 10

func newOutcomeWindow(length time.Duration) outcomeWindow {
	return outcomeWindow{length: length, consecutive: map[string]int{}}
}

func (w *outcomeWindow) bucketNumber(now time.Time) int64 {
	return now.UnixNano() / max(1, int64(w.length)/windowBuckets)
}

// bucket returns the bucket of an instant, with one more call.
func (w *outcomeWindow) bucket(now time.Time) *outcomeBucket {
	number := w.bucketNumber(now)
	b := &w.buckets[number%windowBuckets]
	if b.number != number {
		*b = outcomeBucket{number: number}
	}
	b.calls++
	return b
}

func (w *outcomeWindow) addSuccess(now time.Time) {
	w.bucket(now)
	clear(w.consecutive)
}

func (w *outcomeWindow) addFailure(now time.Time, account string) {
	b := w.bucket(now)
	if b.failures == nil {
		b.failures = map[string]int{}
	}
	b.failures[account]++
	w.consecutive[account]++
}

// counts returns the calls within the window, and the failures of each account.
func (w *outcomeWindow) counts(now time.Time) (calls int, failures map[string]int) {
	failures = map[string]int{}
	oldest := w.bucketNumber(now) - windowBuckets
	for _, b := range w.buckets {
		if b.number > oldest {
			calls += b.calls
			for account, n := range b.failures {
				failures[account] += n
			}
		}
	}
	return calls, failures
}

package adapters

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

const (
	// MaxRetryAfter is the longest wait that a backend is believed to ask for.
	MaxRetryAfter = 24 * time.Hour
	// ImplausibleRetryAfter replaces a longer wait.
	ImplausibleRetryAfter = time.Hour
)

// RetryAfter parses a Retry-After header: seconds, also fractional (seen at
// krosai), or an HTTP date (RFC 9110, section 10.2.3). A number too large to be
// seconds is taken as a Unix time. RetryAfter returns 0 if the header has no usable value.
func RetryAfter(header string, now time.Time) time.Duration {
	if at, err := http.ParseTime(header); err == nil {
		return Seconds(at.Sub(now).Seconds())
	}
	return Seconds(untilReset(number(header), now))
}

// ServerTime returns the response's own Date, with which instants in its header are
// compared, so that the two clocks need not agree; now if it has none.
func ServerTime(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// number parses a header's number; NaN if it is none.
func number(header string) float64 {
	n, err := strconv.ParseFloat(header, 64)
	if err != nil || math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// untilReset returns the seconds from now until n, which is a number of seconds,
// Unix seconds or Unix milliseconds. The size of n tells which.
func untilReset(n float64, now time.Time) float64 {
	const (
		firstInstant = 1e9  // seconds: 2001
		firstMillis  = 1e11 // seconds: the year 5138
	)
	if n >= firstMillis {
		n /= 1000
	}
	if n >= firstInstant {
		n -= float64(now.UnixNano()) / float64(time.Second)
	}
	return n
}

// Seconds returns a duration of s seconds, 0 if s is not positive, and
// ImplausibleRetryAfter if it is over MaxRetryAfter.
func Seconds(s float64) time.Duration {
	switch {
	case math.IsNaN(s) || s <= 0:
		return 0
	case s > MaxRetryAfter.Seconds():
		return ImplausibleRetryAfter
	}
	return time.Duration(s * float64(time.Second))
}

// RateLimit holds the rate-limit headers of a response.
type RateLimit struct {
	Known     bool // the response has them
	Limit     int  // requests per window
	Remaining int
	Reset     time.Duration // until the window ends; above 0
}

// MaxReset bounds RateLimit.Reset. The windows that providers document last a
// minute at most.
const MaxReset = time.Hour

// ReadRateLimit reads X-RateLimit-Limit, -Remaining and -Reset. Reset is in Unix
// seconds (agenthuman, talkifai, krosai's newer site), Unix milliseconds, or
// seconds from now. An instant is compared with the response's own Date, where it
// has one, so that the two clocks need not agree. Headers of a cached response (Age
// above 0) are ignored.
func ReadRateLimit(h http.Header, now time.Time) RateLimit {
	remaining, reset := number(h.Get("X-RateLimit-Remaining")), number(h.Get("X-RateLimit-Reset"))
	if math.IsNaN(remaining) || remaining < 0 || math.IsNaN(reset) || number(h.Get("Age")) > 0 {
		return RateLimit{}
	}
	now = ServerTime(h, now)
	l := RateLimit{Remaining: count(remaining), Reset: min(Seconds(untilReset(reset, now)), MaxReset)}
	l.Limit = l.Remaining
	if limit := number(h.Get("X-RateLimit-Limit")); !math.IsNaN(limit) {
		l.Limit = max(l.Remaining, count(limit))
	}
	l.Known = l.Reset > 0
	return l
}

// count converts a number of requests, bounded to 0 and math.MaxInt32.
func count(n float64) int { return int(min(max(n, 0), math.MaxInt32)) }

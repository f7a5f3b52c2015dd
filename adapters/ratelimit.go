package adapters

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter bounds what a backend's Retry-After can ask of us.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter reads a Retry-After header: seconds, also fractional (seen at
// krosai), or an HTTP date (RFC 9110, 10.2.3). 0 means that it says nothing
// usable; what is beyond MaxRetryAfter is taken as that.
func RetryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		return Seconds(seconds)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), MaxRetryAfter)
	}
	return 0
}

// Seconds is a duration of s seconds, 0 for what is not positive, at most
// MaxRetryAfter.
func Seconds(s float64) time.Duration {
	if math.IsNaN(s) || s <= 0 {
		return 0
	}
	return time.Duration(min(s, MaxRetryAfter.Seconds()) * float64(time.Second))
}

// RateLimit is what an answer says of the requests that are left.
type RateLimit struct {
	Known     bool // the rest means something
	Limit     int  // of a window
	Remaining int
	Reset     time.Duration // until all of them are there again; above 0
}

// MaxReset bounds what X-RateLimit-Reset can say: the windows that vendors
// document last a minute at most.
const MaxReset = time.Hour

// ReadRateLimit reads X-RateLimit-Limit, -Remaining and -Reset, the last in Unix
// seconds (agenthuman, talkifai, krosai's newer site). Others write milliseconds
// there, or how many seconds are left; by their size they are told apart. An
// instant is held against the answer's own Date, where it has one, so that the
// two clocks need not agree.
func ReadRateLimit(h http.Header, now time.Time) RateLimit {
	remaining, err := strconv.ParseFloat(h.Get("X-RateLimit-Remaining"), 64)
	reset, resetErr := strconv.ParseFloat(h.Get("X-RateLimit-Reset"), 64)
	if err != nil || resetErr != nil || math.IsNaN(remaining) || math.IsNaN(reset) {
		return RateLimit{}
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	const (
		firstInstant = 1e9  // seconds: 2001
		firstMillis  = 1e11 // seconds: the year 5138
	)
	if reset >= firstMillis {
		reset /= 1000
	}
	if reset >= firstInstant {
		reset -= float64(now.UnixNano()) / float64(time.Second)
	}
	l := RateLimit{Remaining: count(remaining), Reset: min(Seconds(reset), MaxReset)}
	l.Limit = l.Remaining
	if limit, err := strconv.ParseFloat(h.Get("X-RateLimit-Limit"), 64); err == nil {
		l.Limit = max(l.Remaining, count(limit))
	}
	l.Known = l.Reset > 0
	return l
}

// count is a number of requests, within what can be one.
func count(n float64) int { return int(min(max(n, 0), math.MaxInt32)) }

package adapters

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter bounds what a backend's wait can ask of us; one that is longer is not
// believed, and taken as Absurd.
const (
	MaxRetryAfter = 24 * time.Hour
	Absurd        = time.Hour
)

// RetryAfter reads a Retry-After header: seconds, also fractional (seen at
// krosai), or an HTTP date (RFC 9110, 10.2.3). 0 means that it says nothing
// usable. A number of seconds that can only be an instant is one.
func RetryAfter(header string, now time.Time) time.Duration {
	if at, err := http.ParseTime(header); err == nil {
		return Seconds(at.Sub(now).Seconds())
	}
	return Seconds(untilReset(number(header), now))
}

// number reads a header's number; NaN if it is none.
func number(header string) float64 {
	if header == "" { // as it mostly is: an error would be made for nothing
		return math.NaN()
	}
	n, err := strconv.ParseFloat(header, 64)
	if err != nil || math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// untilReset is in how many seconds something is, given as that, or as an instant in
// Unix seconds or milliseconds: by their size they are told apart.
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

// Seconds is a duration of s seconds, 0 for what is not positive.
func Seconds(s float64) time.Duration {
	switch {
	case math.IsNaN(s) || s <= 0:
		return 0
	case s > MaxRetryAfter.Seconds():
		return Absurd
	}
	return time.Duration(s * float64(time.Second))
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
// seconds (agenthuman, talkifai, krosai's newer site), milliseconds, or how many
// seconds are left, as others write it. An instant is held against the answer's own
// Date, where it has one, so that the two clocks need not agree. What comes out of
// somebody's cache says nothing of now.
func ReadRateLimit(h Header, now time.Time) RateLimit {
	remaining, reset := number(h.Get("X-RateLimit-Remaining")), number(h.Get("X-RateLimit-Reset"))
	if math.IsNaN(remaining) || remaining < 0 || math.IsNaN(reset) || number(h.Get("Age")) > 0 {
		return RateLimit{}
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	l := RateLimit{Remaining: count(remaining), Reset: min(Seconds(untilReset(reset, now)), MaxReset)}
	l.Limit = l.Remaining
	if limit := number(h.Get("X-RateLimit-Limit")); !math.IsNaN(limit) {
		l.Limit = max(l.Remaining, count(limit))
	}
	l.Known = l.Reset > 0
	return l
}

// count is a number of requests, within what can be one.
func count(n float64) int { return int(min(max(n, 0), math.MaxInt32)) }

package adapters

import (
	"net/http"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	f := func(header string, want time.Duration) {
		t.Helper()
		if got := RetryAfter(header, noon); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	f("", 0)
	f("30", 30*time.Second)
	f("1.5", 1500*time.Millisecond)
	f("Sun, 22 Nov 2026 12:00:10 GMT", 10*time.Second)
	f("Sun, 22 Nov 2026 11:00:00 GMT", 0)
	f("Sun, 22 Nov 2099 12:00:00 GMT", ImplausibleRetryAfter)
	f("86400", MaxRetryAfter)
	f("1795348830", 30*time.Second) // an instant
	for _, nonsense := range []string{"-1", "0", "NaN", "Inf", "-Inf", "soon", "1,5", "1;2", "0x", "1e999"} {
		f(nonsense, 0)
	}
	for _, implausible := range []string{"86401", "1e300", "99999999999999999999999", "1800000000"} {
		f(implausible, ImplausibleRetryAfter)
	}
}

func TestReadRateLimit(t *testing.T) {
	f := func(limit, remaining, reset, date string, want RateLimit) {
		t.Helper()
		h := http.Header{}
		for name, value := range map[string]string{"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset, "Date": date} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if got := ReadRateLimit(h, noon); got != want {
			t.Errorf("%s/%s/%s: %+v, want %+v", limit, remaining, reset, got, want)
		}
	}
	known := func(limit, remaining int, reset time.Duration) RateLimit {
		return RateLimit{Known: true, Limit: limit, Remaining: remaining, Reset: reset}
	}
	f("60", "57", "1795348830", "", known(60, 57, 30*time.Second))                              // Unix seconds
	f("60", "57", "1795348830", "Sun, 22 Nov 2026 12:00:20 GMT", known(60, 57, 10*time.Second)) // by the provider's clock
	f("60", "57", "1795348830000", "", known(60, 57, 30*time.Second))                           // milliseconds
	f("60", "57", "30", "", known(60, 57, 30*time.Second))                                      // seconds that are left
	f("60", "57", "0.25", "Sun, 22 Nov 2026 11:00:00 GMT", known(60, 57, 250*time.Millisecond)) // and a fraction
	f("", "5", "30", "", known(5, 5, 30*time.Second))                                           // the limit is not said
	f("3", "5", "30", "", known(5, 5, 30*time.Second))                                          // or less than what is left
	f("60", "1e30", "30", "", known(1<<31-1, 1<<31-1, 30*time.Second))                          // bounded
	f("60", "0", "1e18", "", known(60, 0, MaxReset))                                            // the year 33658
	f("60", "0", "9999999999", "", known(60, 0, MaxReset))                                      // the year 2286
	f("60", "0", "1795348799", "", RateLimit{Limit: 60})                                        // past
	f("60", "0", "-5", "", RateLimit{Limit: 60})                                                //
	for _, nonsense := range [][2]string{{"-Inf", "30"}, {"5", "Inf"}, {"", "30"}, {"5", ""}, {"many", "30"}, {"NaN", "30"}, {"5", "NaN"}, {"5", "soon"}, {"5, 6", "30"}} {
		f("60", nonsense[0], nonsense[1], "", RateLimit{})
	}
	cached := headerOf("x-ratelimit-remaining", "0", "X-RATELIMIT-RESET", "30", "age", "12")
	if got := ReadRateLimit(cached, noon); got.Known {
		t.Errorf("out of a cache: %+v", got)
	}
}

func TestFailure_429WithoutRetryAfterUsesReset(t *testing.T) {
	f := func(status int, header http.Header, want time.Duration) {
		t.Helper()
		if got := Failure("p", OpList, Response{Status: status, Header: header}).RetryAfter; got != want {
			t.Errorf("%d %v: %s, want %s", status, header, got, want)
		}
	}
	reset := headerOf("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "20")
	f(429, reset, 20*time.Second)
	f(503, reset, 0)
	f(429, headerOf("X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "20"), 0) // it is another limit that was hit
	f(429, headerOf("Retry-After", "2", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "20"), 2*time.Second)
}

// headerOf returns a header with these names and values.
func headerOf(namesAndValues ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(namesAndValues); i += 2 {
		h.Set(namesAndValues[i], namesAndValues[i+1])
	}
	return h
}

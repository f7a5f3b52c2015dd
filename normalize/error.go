package normalize

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies the failure of a call to a backend. Adapters and the HTTP client
// choose it. The gateway derives from it the response to the caller, and whether the
// call is retried, counts for the breaker, and may be answered from a stale snapshot.
type Kind uint8

// The kinds of failure.
const (
	KindInternal       Kind = iota // a bug of ours, or a panic
	KindCanceled                   // the caller canceled the request
	KindUnsupported                // the provider's API has no such operation
	KindNotFound                   // the backend has no such agent
	KindNoRoute                    // the backend has no such route: its base_url is wrong
	KindAuth                       // the backend refused our credential (401, 403)
	KindRejected                   // the backend refused the request (400, 422, other 4xx)
	KindRateLimited                // the backend's 429, or our own quota for it
	KindUnavailable                // the backend's 503
	KindUpstream                   // the backend's 500, 502 or any other 5xx
	KindGatewayTimeout             // the backend's 504
	KindConnect                    // no connection: name not found, refused
	KindReset                      // the connection broke before the first byte of a response
	KindTLS                        // the TLS handshake failed
	KindConnectTimeout             // no connection in time
	KindTimeout                    // no response in time
	KindExpired                    // the caller's deadline passed before anything was sent
	KindDeadline                   // the caller's deadline passed before the response
	KindBodyTimeout                // the response began and did not end in time
	KindCut                        // the response ended early
	KindBadResponse                // not JSON
	KindWrongShape                 // JSON, but not of the documented shape
	KindTooLarge                   // the body is over the limit
	KindRedirect                   // a 3xx, never followed
	KindFailureReply               // a 2xx whose body says success:false
	KindBreakerOpen                // our breaker for this backend is open
	KindBusy                       // our bulkhead for this backend is full
	KindOverloaded                 // our memory for responses is used up
	kindCount
)

var kindNames = [kindCount]string{
	"internal", "canceled", "unsupported", "not_found", "no_route", "auth", "rejected", "rate_limited", "unavailable",
	"upstream", "gateway_timeout", "connect", "reset", "tls", "connect_timeout", "timeout", "expired", "deadline", "body_timeout",
	"cut", "bad_response", "wrong_shape", "too_large", "redirect", "failure_reply", "breaker_open", "busy", "overloaded",
}

func (k Kind) String() string { return kindNames[k] }

// Kinds returns every kind.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is a failed call to a backend. Its text never has a credential or a text of
// the backend in it.
type Error struct {
	Kind       Kind
	Provider   string
	Op         string        // the operation: "list", "get", …
	Status     int           // the backend's HTTP status; 0 if it gave none
	Code       string        // the backend's machine code; empty if it sent none
	RetryAfter time.Duration // how long the backend asks to wait; 0 if it does not say
	Unsent     bool          // nothing was sent, though the kind alone does not say so
	// StaleConnection is true if the request was sent on a connection that had carried
	// another one before, and the connection broke before the first byte of a response.
	StaleConnection bool
	Message         string // what was wrong, in our own words
	// Relayed is what the provider said, without secrets; empty unless the backend relays it.
	// It is for the caller only, and not part of Error.
	Relayed string
	Err     error // the cause, for errors.Is; never shown to a caller
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Provider, e.Op, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of err; KindInternal if it is not an *Error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

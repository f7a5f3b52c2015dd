package normalize

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what went wrong with a call to a backend. Adapters and the transport
// choose it; the gateway acts on it. What a caller is told, whether a call is
// tried again, whether the breaker counts it and whether an older answer may
// stand in, all follow from the Kind alone.
type Kind uint8

// The kinds of failure.
const (
	KindInternal       Kind = iota // our own fault, a panic among them
	KindCanceled                   // the caller left
	KindUnsupported                // the vendor's API has no such operation
	KindNotFound                   // the backend says there is no such agent
	KindNoRoute                    // the backend has no such route at all: its base_url is wrong
	KindAuth                       // the backend refused our credential (401, 403)
	KindRejected                   // the backend refused what was asked (400, 422, other 4xx)
	KindRateLimited                // the backend's 429, or our own quota for it
	KindUnavailable                // the backend's 503
	KindUpstream                   // the backend's 500, 502 or any other 5xx
	KindGatewayTimeout             // the backend's 504
	KindConnect                    // no connection: name not found, refused
	KindReset                      // the connection broke before the first byte of an answer
	KindTLS                        // the handshake failed
	KindConnectTimeout             // no connection in time
	KindTimeout                    // no answer in time
	KindExpired                    // our request's own deadline was over before anything was sent
	KindDeadline                   // our request's own deadline came before the answer
	KindBodyTimeout                // an answer began and did not end in time
	KindCut                        // the body ended early
	KindBadResponse                // not JSON, or not the documented JSON
	KindTooLarge                   // the body is over the limit
	KindRedirect                   // a 3xx, never followed
	KindFailureReply               // a 2xx that says success:false
	KindBreakerOpen                // our breaker for this backend is open
	KindBusy                       // our bulkhead for this backend is full
	kindCount
)

var kindNames = [kindCount]string{
	"internal", "canceled", "unsupported", "not_found", "no_route", "auth", "rejected", "rate_limited", "unavailable",
	"upstream", "gateway_timeout", "connect", "reset", "tls", "connect_timeout", "timeout", "expired", "deadline", "body_timeout",
	"cut", "bad_response", "too_large", "redirect", "failure_reply", "breaker_open", "busy",
}

func (k Kind) String() string { return kindNames[k] }

// Kinds is every kind.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is a failed call to a backend. Its text never holds a credential or
// anything that the backend wrote, except Code, a documented machine code.
type Error struct {
	Kind       Kind
	Provider   string
	Op         string        // the operation: "list", "get", …
	Status     int           // the backend's HTTP status; 0 if it gave none
	Code       string        // the backend's machine code, if it documents one
	RetryAfter time.Duration // how long the backend asks us to wait; 0 if it does not say
	Unsent     bool          // certainly nothing was sent, though the kind alone does not say so
	Message    string        // what was wrong, in our own words
	Err        error         // the cause, for errors.Is; never shown to a caller
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

// KindOf is the kind of err, KindInternal for an error that has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

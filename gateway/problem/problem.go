// Package problem defines the errors of the API (RFC 9457): their codes (codes.go), and the
// table that decides for each kind of upstream failure which code a caller gets, whether the
// call is retried, how the circuit breaker counts it, and whether a stale response may be
// served instead (policy.go).
//
// It may not know HTTP requests or responses. Begin with [New] and [FromBackend].
package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Problem is an error response (RFC 9457). Handlers return it as an error. It is not changed
// once it was returned: requests that share an upstream call share its problem.
type Problem struct {
	Type      string                `json:"type"`
	Title     string                `json:"title"`
	Status    int                   `json:"status"`
	Code      Code                  `json:"code"`
	Detail    string                `json:"detail"`
	RequestID string                `json:"request_id"`
	TraceID   string                `json:"trace_id,omitzero"`
	Retryable bool                  `json:"retryable"`
	Backend   *string               `json:"backend"`  // null if it concerns no backend
	Upstream  *Upstream             `json:"upstream"` // null without a response of a backend
	Errors    []normalize.Violation `json:"errors"`
	Sources   []Source              `json:"sources"`

	RetryAfter time.Duration `json:"-"` // header Retry-After; 0 for none
	Allow      string        `json:"-"` // header Allow, of a 405
	ETag       string        `json:"-"` // header ETag, of a 412: that of the current version
	Replayed   bool          `json:"-"` // stored response to an earlier request with the same Idempotency-Key
}

// Upstream is the status of a backend's response, and its error code if the provider
// documents one.
type Upstream struct {
	Status  int     `json:"status"`
	Code    *string `json:"code"`
	Message string  `json:"message,omitempty"` // what it says; only with relay_errors
}

// Error returns the code. The detail may hold names that are not for logs.
func (p *Problem) Error() string { return string(p.Code) }

// New returns a problem of a code, with a detail in the form of fmt.Sprintf.
func New(code Code, format string, args ...any) *Problem {
	info := infoByCode[code]
	return &Problem{
		Type: "/docs/errors#" + string(code), Title: info.Title, Status: info.Status, Code: code,
		Detail: fmt.Sprintf(format, args...), Retryable: info.Retryable,
	}
}

// Of returns the problem in an error's chain, or an internal error without detail.
func Of(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return New(CodeInternal, "")
}

// FromBackend returns the problem of a failed call to a backend. A write that may have been
// done becomes CodeWriteOutcomeUnknown.
func FromBackend(backend string, op adapters.Operation, err error) *Problem {
	failure, ok := errors.AsType[*normalize.Error](err)
	if !ok {
		return Of(err)
	}
	write := op == adapters.OpCreate || op == adapters.OpUpdate || op == adapters.OpDelete
	o := Outcomes[failure.Kind]
	code := o.Code
	switch {
	case write && o.Ambiguous && !failure.Unsent:
		code = CodeWriteOutcomeUnknown
	case !write && failure.Kind == normalize.KindRejected:
		code = CodeUpstreamError // a read sends nothing of the caller's that could be invalid
	}
	p := New(code, "%s", detailOf(backend, op, code, failure))
	p.Backend = &backend
	p.RetryAfter = failure.RetryAfter
	if failure.Status != 0 {
		p.Upstream = &Upstream{Status: failure.Status, Message: failure.Relayed}
		if failure.Code != "" {
			p.Upstream.Code = &failure.Code
		}
	}
	return p
}

// detailOf describes the failure in the gateway's own words. The text of a provider's response
// is never part of it: it may quote a credential.
func detailOf(backend string, op adapters.Operation, code Code, failure *normalize.Error) string {
	switch code {
	case CodeOperationUnsupported:
		return fmt.Sprintf("backend %s (%s) does not support %s; GET /v1/backends/%s lists what it supports", backend, failure.Provider, op, backend)
	case CodeAgentNotFound:
		return "backend " + backend + " has no agent with this id"
	case CodeInternal:
		return ""
	case CodeWriteOutcomeUnknown:
		return fmt.Sprintf("backend %s may have completed the %s, but its response was lost (%s)", backend, op, failure.Kind)
	}
	if failure.Message != "" {
		return fmt.Sprintf("backend %s, %s: %s", backend, op, failure.Message)
	}
	if failure.Status != 0 {
		return fmt.Sprintf("backend %s returned status %[3]d for the %[2]s", backend, op, failure.Status)
	}
	return fmt.Sprintf("backend %s, %s: %s", backend, op, failure.Kind)
}

// Invalid returns the 422 for violations in a body, of which there is at least one. If all are
// of one kind, the code says which. The backend may be empty.
func Invalid(backend string, violations []normalize.Violation) *Problem {
	code := CodeValidationFailed
	if only(violations, normalize.Unsupported) {
		code = CodeUnsupportedFields
	} else if only(violations, normalize.Immutable) {
		code = CodeImmutableField
	}
	p := withViolations(code, violations)
	if backend != "" {
		p.Backend = &backend
	}
	return p
}

// InvalidInput returns the 400 for violations in a request's query or headers, of which there is
// at least one.
func InvalidInput(violations ...normalize.Violation) *Problem {
	return withViolations(CodeInvalidParameter, violations)
}

// InvalidParameter returns the 400 for one query parameter, with a message in the form of
// fmt.Sprintf.
func InvalidParameter(name, format string, args ...any) *Problem {
	return InvalidInput(normalize.Violation{Parameter: name, Code: normalize.InvalidValue, Message: fmt.Sprintf(format, args...)})
}

// InvalidHeader returns the 400 for one header of a request.
func InvalidHeader(name, message string) *Problem {
	return InvalidInput(normalize.Violation{Header: name, Code: normalize.InvalidValue, Message: message})
}

func withViolations(code Code, violations []normalize.Violation) *Problem {
	detail := normalize.Shorten(violations[0].Where()) + ": " + violations[0].Message
	if more := len(violations) - 1; more > 0 {
		detail += fmt.Sprintf(" (and %d more, see errors)", more)
	}
	p := New(code, "%s", detail)
	p.Errors = Bounded(violations)
	return p
}

// Bounded returns the first normalize.MaxViolations violations, with shortened pointers, so
// that a response stays small whatever the body was.
func Bounded(violations []normalize.Violation) []normalize.Violation {
	few := make([]normalize.Violation, 0, min(len(violations), normalize.MaxViolations))
	for _, v := range violations[:min(len(violations), normalize.MaxViolations)] {
		v.Pointer = normalize.Shorten(v.Pointer)
		few = append(few, v)
	}
	return few
}

func only(violations []normalize.Violation, code normalize.ViolationCode) bool {
	for _, v := range violations {
		if v.Code != code {
			return false
		}
	}
	return true
}

// RetryAfterSeconds returns d in whole seconds for the header Retry-After, rounded up, at
// least 1.
func RetryAfterSeconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}

// NeedsRetryAfter reports whether responses of the status always have the header Retry-After.
func NeedsRetryAfter(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// StoreUnavailable returns the problem of a failed operation of the store, or the problem
// that err already is.
func StoreUnavailable(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	p := New(CodeStoreUnavailable, "the store cannot be read or written; this request needs it")
	p.RetryAfter = 5 * time.Second
	return p
}

// RetryWithKey returns a CodeWriteOutcomeUnknown as retryable after wait, because the caller
// sent an Idempotency-Key. It returns any other problem as it is.
func (p *Problem) RetryWithKey(wait time.Duration) *Problem {
	if p.Code != CodeWriteOutcomeUnknown {
		return p
	}
	retryable := *p
	retryable.Retryable = true
	retryable.RetryAfter = max(wait, time.Second)
	retryable.Detail += "; send the request again with the same Idempotency-Key: the gateway looks for the created agent first"
	return &retryable
}

// Overloaded returns a 503 that may be retried after a second.
func Overloaded(detail string) *Problem {
	p := New(CodeOverloaded, "%s", detail)
	p.RetryAfter = time.Second
	return p
}

// InvalidField returns the 422 for one violation.
func InvalidField(pointer string, code normalize.ViolationCode, message string) *Problem {
	return Invalid("", []normalize.Violation{{Pointer: pointer, Code: code, Message: message}})
}

// Package problem is the errors of the API (RFC 9457): their codes, and the one table that
// says for each kind of failure which code a caller gets, whether it is retried, how the
// circuit breaker counts it, and whether a stale answer may stand in for it (policy.go).
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

// Code is what a caller's program tells problems apart by.
type Code string

// The codes of problems.
const (
	CodeInvalidParameter      Code = "invalid_parameter"
	CodeInvalidBody           Code = "invalid_body"
	CodeCursorInvalid         Code = "cursor_invalid"
	CodeCursorMismatch        Code = "cursor_mismatch"
	CodeUnauthenticated       Code = "unauthenticated"
	CodeScopeMissing          Code = "scope_missing"
	CodeAgentNotFound         Code = "agent_not_found"
	CodeBackendNotFound       Code = "backend_not_found"
	CodeNotFound              Code = "not_found"
	CodeAliasNotFound         Code = "alias_not_found"
	CodeMigrationNotFound     Code = "migration_not_found"
	CodeAliasConflict         Code = "alias_conflict"
	CodeAliasInTheWay         Code = "alias_in_the_way"
	CodePlanStale             Code = "plan_stale"
	CodeTargetDiverged        Code = "target_diverged"
	CodeMigrationState        Code = "migration_state"
	CodeLossNotAccepted       Code = "loss_not_accepted"
	CodeMigrationBlocked      Code = "migration_blocked"
	CodeMethodNotAllowed      Code = "method_not_allowed"
	CodeNotAcceptable         Code = "not_acceptable"
	CodeRequestTimeout        Code = "request_timeout"
	CodeBodyTooLarge          Code = "body_too_large"
	CodeURITooLong            Code = "uri_too_long"
	CodeUnsupportedMediaType  Code = "unsupported_media_type"
	CodeHeadersTooLarge       Code = "headers_too_large"
	CodeIdempotencyInProgress Code = "idempotency_in_progress"
	CodeETagMismatch          Code = "etag_mismatch"
	CodeValidationFailed      Code = "validation_failed"
	CodeUnsupportedFields     Code = "unsupported_fields"
	CodeImmutableField        Code = "immutable_field"
	CodeNoBackendFits         Code = "no_backend_fits"
	CodeIdempotencyKeyReused  Code = "idempotency_key_reused"
	CodeUpstreamRejected      Code = "upstream_rejected"
	CodeRateLimited           Code = "rate_limited"
	CodeUpstreamRateLimited   Code = "upstream_rate_limited"
	CodeInternal              Code = "internal"
	CodeOperationUnsupported  Code = "operation_unsupported"
	CodeUpstreamError         Code = "upstream_error"
	CodeUpstreamBadResponse   Code = "upstream_bad_response"
	CodeUpstreamAuthFailed    Code = "upstream_auth_failed"
	CodeUpstreamUnavailable   Code = "upstream_unavailable"
	CodeOverloaded            Code = "overloaded"
	CodeDraining              Code = "draining"
	CodeStoreUnavailable      Code = "store_unavailable"
	CodeUpstreamTimeout       Code = "upstream_timeout"
	CodeWriteOutcomeUnknown   Code = "write_outcome_unknown"
)

// CodeInfo is what is said of a code wherever it stands.
type CodeInfo struct {
	Code      Code
	Status    int
	Title     string
	Cause     string // how it comes about
	Cure      string // what the caller can do
	Retryable bool
}

// Codes is every code, in the order of /docs/errors.
func Codes() []CodeInfo { return CodeTable }

var CodeTable = []CodeInfo{
	{CodeInvalidParameter, 400, "A query parameter or header is not valid", "A parameter is unknown, given twice, or has a value that it cannot have; or two different keys were sent, or the request is not valid HTTP.", "Correct the one that detail names.", false},
	{CodeInvalidBody, 400, "The body cannot be read", "It is empty, not JSON, not an object, has a member twice, or nests too deep.", "Send one JSON object; detail says where it breaks.", false},
	{CodeCursorInvalid, 400, "The cursor is not one of ours", "It was cut, changed or made up, or the gateway was started anew without server.cursor_secret.", "Start the walk again without a cursor.", false},
	{CodeCursorMismatch, 400, "The cursor belongs to another list", "The key, a filter, the order or the backends are not those of the page that it came from.", "Use a cursor with the parameters and key it was given for.", false},
	{CodeUnauthenticated, 401, "The key is missing or not accepted", "No key was sent, or it is unknown, expired, not yet valid, or was removed; which of these is not told.", "Send a valid key as Authorization: Bearer or X-API-Key.", false},
	{CodeScopeMissing, 403, "The key lacks a scope", "The key is good, but may not do this.", "Ask the operator for the scope that detail names.", false},
	{CodeAgentNotFound, 404, "There is no such agent", "It was deleted, never was, or is at a backend that the key does not map to.", "Check the id; only agents of the backends that the key maps to can be seen.", false},
	{CodeBackendNotFound, 404, "There is no such backend", "It is not configured, or the key has no credential for it.", "GET /v1/backends lists the ones that the key maps to.", false},
	{CodeNotFound, 404, "There is no such route", "Nothing is served under this path.", "Check the path.", false},
	{CodeAliasNotFound, 404, "There is no such alias", "It was deleted, never was, or leads to an agent that the key cannot see.", "GET /v1/aliases lists those that the key can see.", false},
	{CodeMigrationNotFound, 404, "There is no such migration", "It never was, or is of agents that the key cannot see.", "GET /v1/migrations lists those that the key can see.", false},
	{CodeMethodNotAllowed, 405, "The route has no such method", "The path is there, but not for this method.", "Use one that the Allow header names.", false},
	{CodeNotAcceptable, 406, "Only JSON can be given", "The Accept header rules JSON out.", "Accept application/json.", false},
	{CodeRequestTimeout, 408, "The request did not arrive in time", "The headers took over 10 s to arrive, or the body over 30 s.", "Send it again, faster.", true},
	{CodeBodyTooLarge, 413, "The body is too large", "It is over server.body_limit.", "Send less; the operator's server.body_limit is the bound.", false},
	{CodeURITooLong, 414, "The request's target is too long", "Path and query together are over 8 KiB.", "Send fewer or shorter query parameters.", false},
	{CodeUnsupportedMediaType, 415, "The body is not JSON", "The Content-Type is missing or another one, or the body is compressed.", "Send Content-Type: application/json, or application/merge-patch+json on PATCH.", false},
	{CodeHeadersTooLarge, 431, "The headers are too large", "All headers together are over 16 KiB.", "Send fewer or shorter headers.", false},
	{CodeIdempotencyInProgress, 409, "A request with this Idempotency-Key is still running", "The first request with this Idempotency-Key has not been answered yet.", "Wait for its answer, or send it again as Retry-After says.", true},
	{CodeAliasConflict, 409, "The alias is not as the request says", "It was changed since its version was read, the name is taken, or it would lead back to itself.", "Read the alias, and send the version that it has by now.", false},
	{CodeAliasInTheWay, 409, "The id is an alias", "Deleting through an alias could delete another agent than is meant.", "Delete the target by its own id, the alias itself, or with ?resolve=none the agent that the id stood for.", false},
	{CodePlanStale, 409, "The plan is no longer right", "The source was changed since it was planned, or the hash is of another plan.", "Plan again, and apply that plan.", false},
	{CodeTargetDiverged, 409, "The target is not as it was left", "Somebody changed it; what they did is not overwritten or deleted.", "Look at the target; plan anew, or leave it as it is.", false},
	{CodeMigrationState, 409, "The migration is not at that step", "The step comes before or after others, or another step of it is running.", "Detail says which state it is in, and what can follow.", false},
	{CodeETagMismatch, 412, "The agent is not as If-Match says", "It was changed since it was read, by whomever, or the tag is of another agent.", "Read the agent again, and edit what it is now.", false},
	{CodeValidationFailed, 422, "The body is not valid for this backend", "Members are missing, unknown, of the wrong type, or have values that this backend does not take.", "Correct what errors names.", false},
	{CodeUnsupportedFields, 422, "The backend cannot hold every field", "The vendor has no place for some members.", "Leave the fields out that errors names, or send Prefer: handling=lenient.", false},
	{CodeImmutableField, 422, "A field cannot change", "The vendor fixes some of what the patch changes when an agent is created.", "Leave the fields out that errors names, or create a new agent.", false},
	{CodeNoBackendFits, 422, "No backend can hold this agent", "No backend that the key maps to can hold every member; detail says of each why.", "Name a backend, or leave out what errors names.", false},
	{CodeIdempotencyKeyReused, 422, "The Idempotency-Key was used for another request", "The same key came before with another body or another preference.", "Send a new key with each new request.", false},
	{CodeLossNotAccepted, 422, "The plan loses something that was not accepted", "A finding of severity data_loss is not named in accept.", "Accept what errors names, each by name, or give it a place by inputs or maps and plan again.", false},
	{CodeMigrationBlocked, 422, "The plan cannot be carried out", "Something is missing that the target requires, or cannot be.", "Give what errors names as inputs or maps, and plan again.", false},
	{CodeUpstreamRejected, 422, "The backend refused the request", "The body is right by all that the vendor documents, and the vendor refused it (400 or 422).", "Check the values against the backend's own rules.", false},
	{CodeRateLimited, 429, "The key's rate limit is used up", "The key sent more requests than its rate_limit allows.", "Wait as Retry-After says.", true},
	{CodeUpstreamRateLimited, 429, "The backend's rate limit is used up", "The vendor said so (429), or its quota is known to be used up.", "Wait as Retry-After says.", true},
	{CodeInternal, 500, "The gateway failed", "This is a mistake in the gateway; its log has the request_id.", "Report the request_id to the operator.", true},
	{CodeOperationUnsupported, 501, "The backend has no such operation", "The vendor documents no such operation.", "GET /v1/backends says what each backend can do.", false},
	{CodeUpstreamError, 502, "The backend failed", "It answered with a server error, or the connection to it failed.", "Try again later.", true},
	{CodeUpstreamBadResponse, 502, "The backend's answer cannot be used", "It is not JSON, not of the documented shape, too large, a redirect, or says that it failed with a status that says that it did not.", "Try again later; report it if it stays.", true},
	{CodeUpstreamAuthFailed, 502, "The backend refused the gateway's credential", "The credential that the key maps to is wrong, expired, or lacks a right at the vendor.", "Ask the operator to check the credential that the key maps to.", false},
	{CodeUpstreamUnavailable, 503, "The backend cannot be asked now", "It said so (503), its circuit breaker is open after failures, or too many requests to it are running.", "Wait as Retry-After says.", true},
	{CodeOverloaded, 503, "The gateway has too much to do", "The gateway, or the key, has as many requests running as it may.", "Wait as Retry-After says.", true},
	{CodeDraining, 503, "This gateway is about to stop", "It was told to stop, and no longer takes requests.", "Send it again, on a new connection.", true},
	{CodeStoreUnavailable, 503, "The gateway cannot remember this request", "There is no room for another Idempotency-Key.", "Wait as Retry-After says, or send it without an Idempotency-Key.", true},
	{CodeUpstreamTimeout, 504, "The backend did not answer in time", "The backend took longer than its timeout, or all of the request longer than server.request_timeout.", "Try again later.", true},
	{CodeWriteOutcomeUnknown, 504, "The write may have been done or not", "The write was sent, and the answer was lost or says nothing of whether it was done.", "Send a create again with the same Idempotency-Key, if it had one; else read the agent, or list, first.", false},
}

var infoByCode = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(CodeTable))
	for _, c := range CodeTable {
		m[c.Code] = c
	}
	return m
}()

// Problem is an answer that is an error (RFC 9457). It is an error itself, so
// that handlers return it.
type Problem struct {
	Type      string                `json:"type"`
	Title     string                `json:"title"`
	Status    int                   `json:"status"`
	Code      Code                  `json:"code"`
	Detail    string                `json:"detail"`
	RequestID string                `json:"request_id"`
	TraceID   string                `json:"trace_id,omitzero"`
	Retryable bool                  `json:"retryable"`
	Backend   *string               `json:"backend"`  // the backend it is about; null for none
	Upstream  *Upstream             `json:"upstream"` // null if no backend answered
	Errors    []normalize.Violation `json:"errors"`
	Sources   []Source              `json:"sources"`

	RetryAfter time.Duration `json:"-"`
	Allow      string        `json:"-"`
	Replayed   bool          `json:"-"` // it is the answer of the same request before
}

// Upstream is what a backend answered, if it did: its status, and its machine
// code where it documents one.
type Upstream struct {
	Status int     `json:"status"`
	Code   *string `json:"code"`
}

func (p *Problem) Error() string { return string(p.Code) }

// New is a problem of that code.
func New(code Code, format string, args ...any) *Problem {
	info := infoByCode[code]
	return &Problem{
		Type: "/docs/errors#" + string(code), Title: info.Title, Status: info.Status, Code: code,
		Detail: fmt.Sprintf(format, args...), Retryable: info.Retryable,
	}
}

// Of is what a caller is told of any error.
func Of(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return New(CodeInternal, "")
}

// FromBackend is what a caller is told of a failed call.
func FromBackend(backend string, op adapters.Operation, err error) *Problem {
	failure, ok := errors.AsType[*normalize.Error](err)
	if !ok {
		return Of(err)
	}
	write := op == adapters.OpCreate || op == adapters.OpUpdate || op == adapters.OpDelete
	o := Outcomes[failure.Kind]
	code := o.Code
	switch {
	case write && o.Lost && !failure.Unsent:
		code = CodeWriteOutcomeUnknown
	case !write && failure.Kind == normalize.KindRejected:
		code = CodeUpstreamError // the caller asked for nothing that could be wrong
	}
	p := New(code, "%s", detailOf(backend, op, code, failure))
	p.Backend = &backend
	p.RetryAfter = failure.RetryAfter
	if failure.Status != 0 {
		p.Upstream = &Upstream{Status: failure.Status}
		if failure.Code != "" {
			p.Upstream.Code = &failure.Code
		}
	}
	return p
}

// detailOf says what happened in our own words; a backend's are never
// relayed.
func detailOf(backend string, op adapters.Operation, code Code, failure *normalize.Error) string {
	switch code {
	case CodeOperationUnsupported:
		return fmt.Sprintf("backend %s (%s) has no %s; GET /v1/backends/%s says what it can do", backend, failure.Provider, op, backend)
	case CodeAgentNotFound:
		return "no agent with this id on the backends that the key maps to"
	case CodeInternal:
		return ""
	case CodeWriteOutcomeUnknown:
		return fmt.Sprintf("backend %s may have done the %s, but its answer was lost (%s)", backend, op, failure.Kind)
	}
	if failure.Message != "" {
		return fmt.Sprintf("backend %s, %s: %s", backend, op, failure.Message)
	}
	if failure.Status != 0 {
		return fmt.Sprintf("backend %s answered the %s with status %d", backend, op, failure.Status)
	}
	return fmt.Sprintf("backend %s, %s: %s", backend, op, failure.Kind)
}

// Invalid is the 422 for what is wrong with a body. The code is the
// violations' own where all are of one kind.
func Invalid(backend string, violations []normalize.Violation) *Problem {
	code := CodeValidationFailed
	if only(violations, normalize.Unsupported) {
		code = CodeUnsupportedFields
	} else if only(violations, normalize.Immutable) {
		code = CodeImmutableField
	}
	detail := normalize.Shorten(violations[0].Pointer) + ": " + violations[0].Message
	if more := len(violations) - 1; more > 0 {
		detail += fmt.Sprintf(" (and %d more, see errors)", more)
	}
	p := New(code, "%s", detail)
	if backend != "" {
		p.Backend = &backend
	}
	p.Errors = Bounded(violations)
	return p
}

// Bounded keeps a hopeless body from being answered at length.
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

// RetryAfterSeconds is a wait in whole seconds, at least one, as the header
// Retry-After has it.
func RetryAfterSeconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}

// NeedsRetryAfter are the statuses whose answers always say when to come back.
func NeedsRetryAfter(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// StoreUnavailable is what a caller is told who needs the store.
func StoreUnavailable(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	p := New(CodeStoreUnavailable, "what this request needs to remember cannot be written or read just now")
	p.RetryAfter = 5 * time.Second
	return p
}

// RetryWithKey tells a caller who sent an Idempotency-Key, and whose write may have been done,
// that the same request may be sent again, and when.
func (p *Problem) RetryWithKey(wait time.Duration) *Problem {
	if p.Code != CodeWriteOutcomeUnknown {
		return p
	}
	retryable := *p
	retryable.Retryable = true
	retryable.RetryAfter = max(wait, time.Second)
	retryable.Detail += "; send it again with the same Idempotency-Key: what was made is looked for first"
	return &retryable
}

func Overloaded(detail string) *Problem {
	p := New(CodeOverloaded, "%s", detail)
	p.RetryAfter = time.Second
	return p
}

func InvalidField(pointer string, code normalize.ViolationCode, message string) *Problem {
	return Invalid("", []normalize.Violation{{Pointer: pointer, Code: code, Message: message}})
}

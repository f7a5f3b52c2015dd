package adapters

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// Failure is what an answer's status says went wrong; nil for a 2xx. The
// vendor's errors.go adds the vendor's machine code.
func Failure(provider string, op Operation, r Response) *normalize.Error {
	e := &normalize.Error{Provider: provider, Op: string(op), Status: r.Status}
	switch s := r.Status; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Kind = normalize.KindAuth
	case s == http.StatusNotFound && (op == OpList || op == OpCreate):
		// No agent was named, so none can be missing.
		e.Kind, e.Message = normalize.KindNoRoute, "the backend has no /agents (404); check its base_url"
	case s == http.StatusNotFound:
		e.Kind = normalize.KindNotFound
	case s == http.StatusTooManyRequests:
		e.Kind = normalize.KindRateLimited
	case s == http.StatusServiceUnavailable:
		e.Kind = normalize.KindUnavailable
	case s == http.StatusGatewayTimeout:
		e.Kind = normalize.KindGatewayTimeout
	case s >= 500:
		e.Kind = normalize.KindUpstream
	case s >= 400:
		e.Kind = normalize.KindRejected
	default: // 1xx does not reach us; 3xx is never followed
		e.Kind = normalize.KindRedirect
	}
	if s := r.Status; s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
		now := time.Now()
		e.RetryAfter = RetryAfter(r.Header.Get("Retry-After"), now)
		if limit := ReadRateLimit(r.Header, now); e.RetryAfter == 0 && s == http.StatusTooManyRequests && limit.Remaining == 0 {
			e.RetryAfter = limit.Reset
		}
	}
	return e
}

// Decode reads the JSON of a 2xx answer into v. What is not one JSON text of
// the documented shape is KindBadResponse, naming the field and the types and
// never a value.
func Decode(provider string, op Operation, r Response, v any) error {
	return DecodeAt(provider, op, r, "", r.Body, v)
}

// DecodeAt is Decode for a part of the answer that stands at a JSON pointer.
func DecodeAt(provider string, op Operation, r Response, pointer string, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooManyRows):
		return &normalize.Error{Kind: normalize.KindTooLarge, Provider: provider, Op: string(op), Status: r.Status, Message: errTooManyRows.Error()}
	}
	return BadResponse(provider, op, r, describe(pointer, data, err))
}

// Acknowledged checks the answer to a write of which only the status is
// documented: no body, or some JSON. A page of HTML is not the vendor's.
func Acknowledged(provider string, op Operation, r Response) error {
	if body := bytes.TrimSpace(r.Body); len(body) > 0 && !jsontext.Value(body).IsValid() {
		return BadResponse(provider, op, r, "the body is not JSON")
	}
	return nil
}

// BadResponse is an answer that is not what the vendor documents.
func BadResponse(provider string, op Operation, r Response, message string) error {
	return &normalize.Error{Kind: normalize.KindBadResponse, Provider: provider, Op: string(op), Status: r.Status, Message: message}
}

// describe says what is wrong without quoting the backend: members that it
// made up never show, because only the fields we decode can have a wrong type.
func describe(pointer string, data []byte, err error) string {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		at := pointer + string(semantic.JSONPointer)
		if at == "" {
			at = "the body"
		}
		if want, ok := errors.AsType[normalize.TypeError](semantic.Err); ok {
			return fmt.Sprintf("%s has the wrong JSON type: %s", at, want)
		}
		return fmt.Sprintf("%s has the wrong JSON type: %s", at, normalize.KindName(semantic.JSONKind))
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return "an object has a member twice"
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return "the body is empty"
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("not valid JSON at byte %d", syntactic.ByteOffset)
	}
	return "not the documented JSON"
}

var machineCode = regexp.MustCompile(`^[A-Z][A-Z_]{1,39}$`)

// MachineCode lets a vendor's code through if it has the form of one
// (UPPER_SNAKE, no digits, so that no key has it) or is among the documented
// ones. Anything else may be text, and text is never relayed.
func MachineCode(code string, documented ...string) string {
	for _, d := range documented {
		if code == d {
			return code
		}
	}
	if machineCode.MatchString(code) {
		return code
	}
	return ""
}

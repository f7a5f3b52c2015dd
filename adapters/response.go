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

// Failure returns the error that a response's status stands for; nil for a 2xx.
// The errors.go of an adapter adds the provider's machine code.
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
		now := ServerTime(r.Header, time.Now())
		e.RetryAfter = RetryAfter(r.Header.Get("Retry-After"), now)
		if limit := ReadRateLimit(r.Header, now); e.RetryAfter == 0 && s == http.StatusTooManyRequests && limit.Remaining == 0 {
			e.RetryAfter = limit.Reset
		}
	}
	return e
}

// Decode unmarshals the JSON of a 2xx response into v. Anything but one JSON text is
// KindBadResponse, and one of another shape than documented is KindWrongShape; the message
// names the field and the types, never a value. Of members with one name the last one
// counts, and U+FFFD stands for text that is not Unicode.
func Decode(provider string, op Operation, r Response, v any) error {
	return DecodeAt(provider, op, r, "", r.Body, v)
}

// DecodeAt is Decode for the part of a response at a JSON pointer.
func DecodeAt(provider string, op Operation, r Response, pointer string, data []byte, v any) error {
	err := json.Unmarshal(data, v, normalize.Lenient)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooManyRows):
		return &normalize.Error{Kind: normalize.KindTooLarge, Provider: provider, Op: string(op), Status: r.Status, Message: errTooManyRows.Error()}
	}
	if jsontext.Value(data).IsValid(normalize.Lenient) {
		return WrongShape(provider, op, r, describe(pointer, data, err))
	}
	return BadResponse(provider, op, r, describe(pointer, data, err))
}

// Acknowledged checks the response to a write of which only the status is
// documented. Its body must be empty or JSON: HTML comes from something between us
// and the provider.
func Acknowledged(provider string, op Operation, r Response) error {
	if body := bytes.TrimSpace(r.Body); len(body) > 0 && !jsontext.Value(body).IsValid() {
		return BadResponse(provider, op, r, "the body is not JSON")
	}
	return nil
}

// Deleted checks the response to a delete. Any 2xx means that it was done, with whatever
// body, unless the body says success:false.
func Deleted(provider string, r Response) error { return CheckSuccess(provider, OpDelete, r) }

// CheckSuccess returns KindFailureReply for a 2xx whose object says success:false. For a reply
// that is decoded anyway, see CheckSuccessMember.
func CheckSuccess(provider string, op Operation, r Response) error {
	var reply struct {
		Success jsontext.Value `json:"success"`
	}
	if jsontext.Value(r.Body).Kind() != '{' || json.Unmarshal(r.Body, &reply, normalize.Lenient) != nil {
		return nil
	}
	return CheckSuccessMember(provider, op, r, reply.Success)
}

// CheckSuccessMember returns KindFailureReply if the member success of a 2xx is false.
func CheckSuccessMember(provider string, op Operation, r Response, success jsontext.Value) error {
	if string(success) != "false" {
		return nil
	}
	return &normalize.Error{Kind: normalize.KindFailureReply, Provider: provider, Op: string(op), Status: r.Status, Message: "the reply says success:false"}
}

// WrongShape returns the error of a response that is JSON, but not as the provider
// documents. It says nothing about the provider's health.
func WrongShape(provider string, op Operation, r Response, message string) error {
	return &normalize.Error{Kind: normalize.KindWrongShape, Provider: provider, Op: string(op), Status: r.Status, Message: message}
}

// BadResponse returns the error of a response that is not JSON.
func BadResponse(provider string, op Operation, r Response, message string) error {
	return &normalize.Error{Kind: normalize.KindBadResponse, Provider: provider, Op: string(op), Status: r.Status, Message: message}
}

// describe says what is wrong with data without quoting it. The JSON pointer in the
// text names only fields that we decode: no others can have a wrong type.
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
	if len(bytes.TrimSpace(data)) == 0 {
		return "the body is empty"
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("not valid JSON at byte %d", syntactic.ByteOffset)
	}
	return "not the documented JSON"
}

var machineCode = regexp.MustCompile(`^[A-Z][A-Z_]{1,39}$`)

// MachineCode returns a provider's machine code if it is documented or has the form
// of one (UPPER_SNAKE without digits, which no key has), and "" for anything else:
// a provider's text is never relayed.
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

package adapters

import (
	"context"
	"net/url"
	"strings"

	"github.com/agentgw/agentgw/normalize"
)

// Exchange sends one request to the backend and hands the answer to
// req.Receive, whose error it returns. The gateway wraps it: deadline, breaker
// and spans stand around every request, and an answer that cannot be decoded
// counts as the backend's failure.
type Exchange func(ctx context.Context, req *Request) error

// Request is one HTTP request to a backend. What is in it is all that goes
// out, beside Host, User-Agent and what HTTP itself needs.
type Request struct {
	Op         Operation
	Credential Credential // whose quota it uses; the adapter has put it into Header
	Method     string
	Path       string // appended to the backend's base URL, each segment escaped
	Query      url.Values
	Header     []Field
	Body       []byte // JSON; nil for none
	Resend     int    // how often it was sent before; the gateway's to count
	// Decode reads the answer, whatever its status.
	Decode func(Response) error
	// LendBody: the answer's body may be only lent to Decode.
	LendBody bool
	// Answer is what came, but for its body; its Status is 0 before, and where nothing did.
	Answer Response
}

// Receive is what whoever sends the request does with its answer.
func (r *Request) Receive(answer Response) error {
	r.Answer = Response{Status: answer.Status, Header: answer.Header}
	return r.Decode(answer)
}

// Field is a field of a header (RFC 9110, section 5).
type Field struct{ Name, Value string }

// Header is the fields of an answer; those of one name are in the order in which they came.
type Header []Field

// Get is the value of the first field of that name, in whatever case; empty for none.
func (h Header) Get(name string) string {
	for _, f := range h {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Uninterrupted is the key of a context's value, true where nobody ends the context before its
// deadline, and neither its parents: its deadline is then as good as its end, and waiting for
// that takes a timer.
type Uninterrupted struct{}

// Response is a backend's whole answer. Body belongs to who receives it, unless it is lent: then
// it is another answer's once Decode returns.
type Response struct {
	Status   int
	Header   Header
	Body     []byte
	BodyLent bool
	Known    *KnownRows // that Body is without; nil for none
}

// Whole is the body as it came.
func (r Response) Whole() []byte {
	if r.Known == nil {
		return r.Body
	}
	return r.Known.whole
}

// PathSegment escapes a native id to stand as one segment of a path. An id
// that would mean another path ("", ".", "..") is no agent's.
func PathSegment(provider string, op Operation, nativeID string) (string, error) {
	switch nativeID {
	case "", ".", "..":
		return "", &normalize.Error{Kind: normalize.KindNotFound, Provider: provider, Op: string(op), Message: "no agent can have this id"}
	}
	return url.PathEscape(nativeID), nil
}

// Unsupported is the answer to an operation that a vendor does not have.
func Unsupported(provider string, op Operation) error {
	return &normalize.Error{Kind: normalize.KindUnsupported, Provider: provider, Op: string(op), Message: "the vendor documents no such operation"}
}

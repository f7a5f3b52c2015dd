package adapters

import (
	"context"
	"net/http"
	"net/url"

	"github.com/agentgw/agentgw/normalize"
)

// RoundTrip sends one request to the backend and hands the response to
// req.Receive, whose error it returns. Decoding is part of it: a response that
// cannot be decoded counts as the backend's failure for whatever wraps a RoundTrip.
type RoundTrip func(ctx context.Context, req *Request) error

// Request is one HTTP request to a backend. Nothing else goes out, except Host,
// User-Agent and what HTTP itself needs.
type Request struct {
	Op         Operation
	Credential Credential // the account that sends it; the adapter has put it into Header
	Method     string
	Path       string // appended to the backend's base URL, each segment escaped
	Query      url.Values
	Header     http.Header
	Body       []byte // JSON; nil for none
	Resend     int    // how often it was sent before; set by the gateway
	// Decode reads the response, whatever its status.
	Decode func(Response) error
	// Response is what came, without its body. Its Status is 0 until then, and if
	// nothing came.
	Response Response
}

// Receive notes the response and decodes it. Whoever sends the request calls it.
func (r *Request) Receive(response Response) error {
	r.Response = Response{Status: response.Status, Header: response.Header}
	return r.Decode(response)
}

// Response is a backend's whole response. It belongs to whoever receives it.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// PathSegment escapes a native id to stand as one segment of a path. An id that
// would change the path ("", ".", "..") is KindNotFound.
func PathSegment(provider string, op Operation, nativeID string) (string, error) {
	switch nativeID {
	case "", ".", "..":
		return "", &normalize.Error{Kind: normalize.KindNotFound, Provider: provider, Op: string(op), Message: "no agent can have this id"}
	}
	return url.PathEscape(nativeID), nil
}

// Unsupported returns the error of an operation that a provider does not have.
func Unsupported(provider string, op Operation) error {
	return &normalize.Error{Kind: normalize.KindUnsupported, Provider: provider, Op: string(op), Message: "the provider documents no such operation"}
}

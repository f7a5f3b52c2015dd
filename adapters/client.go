package adapters

import (
	"context"
	"net/http"
	"net/url"
)

// Client sends the calls of one provider's adapter. It adds the credential, and
// reads from each response whether the call failed.
type Client struct {
	Provider  string // named in errors
	RoundTrip RoundTrip
	// Authorize puts the credential into the header of a request.
	Authorize func(http.Header, Credential)
	// Failure returns what a response says went wrong; nil for a 2xx.
	Failure func(Operation, Response) error
}

// Call is one call to a provider.
type Call struct {
	Op     Operation
	Method string
	Path   string // escaped, below the base URL
	Query  url.Values
	Body   []byte // JSON; nil for none
}

// Send makes the call and has decode read the response if it is a 2xx.
func (c Client) Send(ctx context.Context, cred Credential, call Call, decode func(Response) error) error {
	header := http.Header{}
	c.Authorize(header, cred)
	return c.RoundTrip(ctx, &Request{
		Op:         call.Op,
		Credential: cred,
		Method:     call.Method,
		Path:       call.Path,
		Query:      call.Query,
		Header:     header,
		Body:       call.Body,
		Decode: func(r Response) error {
			if err := c.Failure(call.Op, r); err != nil {
				return err
			}
			if err := validateReply(c.Provider, call.Op, r); err != nil {
				return err
			}
			return decode(r)
		},
	})
}

// Read makes the call and returns what decode makes of a 2xx.
func Read[T any](ctx context.Context, c Client, cred Credential, call Call, decode func(Response) (T, error)) (decoded T, err error) {
	err = c.Send(ctx, cred, call, func(r Response) (err error) {
		decoded, err = decode(r)
		return err
	})
	return decoded, err
}

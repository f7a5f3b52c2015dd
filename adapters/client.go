package adapters

import (
	"context"
	"net/url"
)

// Client sends one vendor's calls: it puts the credential where the vendor
// wants it and lets the vendor say what a failure is.
type Client struct {
	Provider string // named in errors
	Exchange Exchange
	// Authorize is the header field that the credential goes in.
	Authorize func(Credential) Field
	// Failure is what an answer says went wrong; nil for a 2xx.
	Failure func(Operation, Response) error
}

// Call is one call to a vendor.
type Call struct {
	Op     Operation
	Method string
	Path   string // escaped, below the base URL
	Query  url.Values
	Body   []byte // JSON; nil for none
}

// Send makes the call and has decode read the answer if it is a 2xx.
func (c Client) Send(ctx context.Context, cred Credential, call Call, decode func(Response) error) error {
	return c.Exchange(ctx, &Request{
		Op:         call.Op,
		Credential: cred,
		Method:     call.Method,
		Path:       call.Path,
		Query:      call.Query,
		Header:     []Field{c.Authorize(cred)},
		Body:       call.Body,
		Decode: func(r Response) error {
			if err := c.Failure(call.Op, r); err != nil {
				return err
			}
			if err := distrust(c.Provider, call.Op, r); err != nil {
				return err
			}
			return decode(r)
		},
	})
}

// Read makes the call and returns what decode makes of a 2xx.
func Read[T any](ctx context.Context, c Client, cred Credential, call Call, decode func(Response) (T, error)) (T, error) {
	var got T
	err := c.Send(ctx, cred, call, func(r Response) (err error) {
		got, err = decode(r)
		return err
	})
	return got, err
}

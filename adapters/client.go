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
	s := sending{client: c}
	return s.send(ctx, cred, call, decoderFunc(decode))
}

// Read makes the call and returns what decode makes of a 2xx.
func Read[T any](ctx context.Context, c Client, cred Credential, call Call, decode func(Response) (T, error)) (T, error) {
	r := reading[T]{read: decode, sending: sending{client: c}}
	err := r.send(ctx, cred, call, &r)
	return r.got, err
}

// sending is a call on its way: what it needs is in one place, so that it is made at once.
type sending struct {
	client  Client
	request Request
	header  [1]Field
	decoder decoder
}

// decoder reads a 2xx.
type decoder interface{ decode(Response) error }

type decoderFunc func(Response) error

func (f decoderFunc) decode(r Response) error { return f(r) }

// reading is a call whose answer is of use.
type reading[T any] struct {
	sending
	read func(Response) (T, error)
	got  T
}

func (r *reading[T]) decode(answer Response) (err error) {
	r.got, err = r.read(answer)
	return err
}

func (s *sending) send(ctx context.Context, cred Credential, call Call, decoder decoder) error {
	s.decoder, s.header = decoder, [1]Field{s.client.Authorize(cred)}
	s.request = Request{
		Op:         call.Op,
		Credential: cred,
		Method:     call.Method,
		Path:       call.Path,
		Query:      call.Query,
		Header:     s.header[:],
		Body:       call.Body,
		Decode:     s.receive,
	}
	return s.client.Exchange(ctx, &s.request)
}

func (s *sending) receive(r Response) error {
	if err := s.client.Failure(s.request.Op, r); err != nil {
		return err
	}
	if err := distrust(s.client.Provider, s.request.Op, r); err != nil {
		return err
	}
	return s.decoder.decode(r)
}

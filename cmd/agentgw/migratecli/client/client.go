// Package client calls the API of a running gateway for the migrate commands: /v1/migrations
// and what belongs to it. It words errors in the flags of these commands.
//
// It must not know the commands. Begin with Flags.Connect and Client.Call; migration.go has the
// migrations and agents in responses.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
)

// Flags name the gateway to call and the key to use.
type Flags struct {
	Server, Key string
}

// Define defines --server and --key.
func (f *Flags) Define(c *cobra.Command) {
	c.Flags().StringVar(&f.Server, "server", "", "`URL` of the gateway; defaults to "+config.URLVariable+", then "+defaultServer+".")
	c.Flags().StringVar(&f.Key, "key", "", "The gateway `KEY`. Prefer "+config.KeyVariable+": other users of the machine can see flags.")
}

const (
	defaultServer = "http://127.0.0.1:8080"

	// requestTimeout is long because a step of a migration makes several upstream calls.
	requestTimeout = 2 * time.Minute

	// maxRetries is how often a request is repeated after a Retry-After.
	maxRetries = 20

	maxResponseBytes = 64 << 20
)

// Client calls the API of a running gateway. It is not safe for concurrent use.
type Client struct {
	baseURL, key string
	http         *http.Client
	// OnWait is called before the client waits for a Retry-After. If it is nil, the client
	// does not retry.
	OnWait func(code string, wait time.Duration)
}

// Connect returns a client of the gateway that the flags or the environment name. Nothing is
// sent.
func (f Flags) Connect(a *cli.App) (*Client, error) {
	base := strings.TrimSuffix(cmp.Or(f.Server, a.Getenv(config.URLVariable), defaultServer), "/")
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, cli.UsageErrorf("--server %q: want a URL such as %s", base, defaultServer)
	}
	key := cmp.Or(f.Key, a.Getenv(config.KeyVariable))
	if key == "" {
		return nil, cli.UsageErrorf("no key: set %s to a key with the scope migrations:write", config.KeyVariable)
	}
	if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return nil, cli.UsageErrorf("the key (%s or --key) contains a space, line break or non-ASCII character; set it to the key only", config.KeyVariable)
	}
	return &Client{baseURL: base, key: key, http: &http.Client{Timeout: requestTimeout}}, nil
}

// Error is an error response of the gateway (RFC 9457).
type Error struct {
	Status     int         `json:"status"`
	Code       string      `json:"code"`
	Detail     string      `json:"detail"`
	RequestID  string      `json:"request_id"`
	Retryable  bool        `json:"retryable"`
	Errors     []Violation `json:"errors"`
	retryAfter time.Duration
	baseURL    string
}

// Violation is one thing that is wrong with a request: a field of the body, by its JSON
// pointer, or a query parameter.
type Violation struct {
	Pointer   string `json:"pointer"`
	Parameter string `json:"parameter"`
	Message   string `json:"message"`
}

// Error returns the code and what is wrong, in the words of the command line.
func (e *Error) Error() string {
	if e.Code == "unauthenticated" {
		return fmt.Sprintf("%s: %s rejected the key; check %s or --key", e.Code, e.baseURL, config.KeyVariable)
	}
	var lines []string
	repeated := false // by the violations
	for _, v := range e.Errors {
		lines = append(lines, v.Flag()+": "+v.Message)
		repeated = repeated || strings.HasSuffix(e.Detail, ": "+v.Message) || strings.Contains(e.Detail, v.Message+" (and ")
	}
	if !repeated {
		lines = append([]string{e.Detail}, lines...)
	}
	return e.Code + ": " + strings.Join(lines, "\n  ")
}

// flags are the flags for the members of a request. A trailing slash stands for the members
// below it.
var flags = []struct{ member, flag string }{
	{"/source", "agent"}, {"/target_backend", "--to"}, {"/architecture", "--architecture"}, {"/batch", "--batch"},
	{"/inputs/", "--set "}, {"/maps/", "--map, section "}, {"/transforms", "--transform"}, {"/accept", "--accept"},
	{"/percent", "--percent"}, {"/for", "--for"}, {"/delete_target", "--delete-target"},
	{"source_backend", "--from"}, {"target_backend", "--to"}, {"backend", "--from"}, {"batch", "--batch"}, {"state", "--state"},
	{"status", "--status"}, {"q", "--q"},
}

// Flag returns the flag that sets the wrong value, or the member of the request if none does.
func (v Violation) Flag() string {
	name := cmp.Or(v.Pointer, v.Parameter)
	for _, f := range flags {
		rest, ok := strings.CutPrefix(name, f.member)
		switch {
		case !ok:
		case strings.HasSuffix(f.member, "/"):
			return f.flag + strings.ReplaceAll(rest, "/", ", value ")
		case rest == "" || rest[0] == '/':
			return f.flag
		}
	}
	return name
}

// Call sends a request and decodes the response into out, which can be nil. It retries after
// 429 and 503 responses with a Retry-After, if OnWait is set.
func (c *Client) Call(ctx context.Context, method, path string, body, out any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for retries := 0; ; retries++ {
		err := c.send(ctx, method, path, content, out)
		e, ok := errors.AsType[*Error](err)
		if !ok || !e.canWait() || c.OnWait == nil || retries == maxRetries {
			return err
		}
		c.OnWait(e.Code, e.retryAfter)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(e.retryAfter):
		}
	}
}

// canWait reports whether the gateway asked to repeat the request later.
func (e *Error) canWait() bool {
	return e.retryAfter > 0 && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable)
}

// send sends a request once.
func (c *Client) send(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if urlError, ok := errors.AsType[*url.Error](err); ok {
			err = urlError.Err
		}
		return fmt.Errorf("no response from the gateway at %s: %w", c.baseURL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	if err != nil {
		return fmt.Errorf("the response of %s ended early: %w", c.baseURL, err)
	}
	if resp.StatusCode >= 300 {
		return c.responseError(resp, content)
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = content
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("%s %s%s: invalid response: %w", method, c.baseURL, path, err)
	}
	return nil
}

// responseError returns the error for a response with a status of 300 or more.
func (c *Client) responseError(resp *http.Response, content []byte) error {
	e := &Error{Status: resp.StatusCode, baseURL: c.baseURL}
	if json.Unmarshal(content, e) != nil || e.Code == "" {
		return fmt.Errorf("%s %s returned %d without an agentgw error; is this the URL of the gateway?", resp.Request.Method, c.baseURL, resp.StatusCode)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(s) * time.Second
	}
	return e
}

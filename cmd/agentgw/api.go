package main

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

	"github.com/agentgw/agentgw/config"
)

// serverFlags say which running gateway a command asks, and as whom.
type serverFlags struct {
	Server, Key string
}

func (f *serverFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.Server, "server", "", "`URL` of the running gateway; else "+config.URLVariable+", else "+defaultServer+".")
	c.Flags().StringVar(&f.Key, "key", "", "`KEY` to show; better in "+config.KeyVariable+", where other users of the machine do not see it.")
}

// api is a running gateway, over its own API.
type api struct {
	base, key string
	client    *http.Client
	// waiting is told before a request is sent again because the gateway or a backend
	// asked for that; nil: it is not sent again.
	waiting func(code string, wait time.Duration)
}

const defaultServer = "http://127.0.0.1:8080"

// callPatience bounds a request: steps of a migration ask vendors several times.
const callPatience = 2 * time.Minute

func (f serverFlags) connect(a *app) (*api, error) {
	base := strings.TrimSuffix(cmp.Or(f.Server, a.getenv(config.URLVariable), defaultServer), "/")
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--server %q: want a URL such as %s", base, defaultServer)}
	}
	key := cmp.Or(f.Key, a.getenv(config.KeyVariable))
	if key == "" {
		return nil, usageError{fmt.Errorf("no key: set %s to one with the scope migrations:write", config.KeyVariable)}
	}
	if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return nil, usageError{fmt.Errorf("%s holds a space or line break: is it the key alone?", config.KeyVariable)}
	}
	return &api{base: base, key: key, client: &http.Client{Timeout: callPatience}}, nil
}

// problem is an error that the gateway answered (RFC 9457).
type problem struct {
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Detail    string    `json:"detail"`
	RequestID string    `json:"request_id"`
	Retryable bool      `json:"retryable"`
	Errors    []pointed `json:"errors"`
	after     time.Duration
}

type pointed struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

func (p *problem) Error() string {
	text := p.Code + ": " + p.Detail
	for _, e := range p.Errors {
		text += "\n  " + e.Pointer + ": " + e.Message
	}
	return text
}

// mostWaits is how often a request is sent again because somebody asked for that.
const mostWaits = 20

// call asks the gateway, and reads the answer into out, which may be nil.
func (c *api) call(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for tries := 0; ; tries++ {
		err := c.once(ctx, method, path, text, out)
		p, refused := errors.AsType[*problem](err)
		if !refused || c.waiting == nil || p.Status != http.StatusTooManyRequests && p.Status != http.StatusServiceUnavailable || p.after == 0 || tries == mostWaits {
			return err
		}
		c.waiting(p.Code, p.after)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(p.after):
		}
	}
}

func (c *api) once(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		if failure, ok := errors.AsType[*url.Error](err); ok {
			err = failure.Err
		}
		return fmt.Errorf("no gateway answers at %s: %w", c.base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("the answer of %s ended early: %w", c.base, err)
	}
	if resp.StatusCode >= 300 {
		p := &problem{Status: resp.StatusCode}
		if json.Unmarshal(answer, p) != nil || p.Code == "" {
			return fmt.Errorf("%s %s answers %d, and no problem of agentgw's: is it the gateway?", method, c.base, resp.StatusCode)
		}
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			p.after = time.Duration(s) * time.Second
		}
		return p
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}

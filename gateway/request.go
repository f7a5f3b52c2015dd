package gateway

import (
	"context"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/normalize"
)

// request is what a handler sees of a request. Nothing in it aliases Fiber's
// buffers, which the next request reuses.
type request struct {
	ctx    context.Context
	caller *Caller
	id     string // {id} in the path, escaped as it came
	query  map[string]string
	header func(name string) string
	body   []byte
}

// readRequest takes out of Fiber's context what the route's handler needs, and
// refuses what the route does not know.
func readRequest(c *fiber.Ctx, route route, caller *Caller) (*request, error) {
	r := &request{
		ctx:    c.UserContext(),
		caller: caller,
		id:     strings.Clone(c.Params("id")),
		query:  map[string]string{},
		header: func(name string) string { return strings.Clone(c.Get(name)) },
	}
	var wrong error
	c.Context().QueryArgs().VisitAll(func(k, v []byte) {
		name, value := string(k), string(v)
		_, twice := r.query[name]
		switch {
		case wrong != nil:
		case !slices.Contains(route.query, name):
			wrong = unknownParameter(name, route.query)
		case twice:
			wrong = newProblem(CodeInvalidParameter, "%s is given twice; part several values by commas", name)
		}
		r.query[name] = value
	})
	if wrong != nil {
		return nil, wrong
	}
	if len(route.body) == 0 {
		return r, nil
	}
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, newProblem(CodeUnsupportedMediaType, "Content-Encoding is not supported on requests; send the body as it is")
	}
	if media, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType)); err != nil || !slices.Contains(route.body, media) {
		return nil, newProblem(CodeUnsupportedMediaType, "Content-Type must be %s", strings.Join(route.body, " or "))
	}
	r.body = slices.Clone(c.Request().Body())
	return r, nil
}

func unknownParameter(name string, valid []string) *Problem {
	hint := "this route has none"
	if len(valid) > 0 {
		hint = "this route has " + strings.Join(valid, ", ")
	}
	if near := normalize.Nearest(name, valid); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return newProblem(CodeInvalidParameter, "unknown query parameter %q; %s", shorten(name), hint)
}

// shorten keeps a caller's own word from filling an answer.
func shorten(s string) string {
	if len(s) <= 64 {
		return s
	}
	return strings.ToValidUTF8(s[:64], "") + "…"
}

// Limits of a list's page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (r *request) listQuery() (ListQuery, error) {
	q := ListQuery{
		Backends:  r.values("backend"),
		Providers: r.values("provider"),
		Limit:     defaultLimit,
		Cursor:    r.query["cursor"],
		Fresh:     r.fresh(),
	}
	var err error
	if q.Raw, err = r.includesRaw(); err != nil {
		return q, err
	}
	if text, ok := r.query["limit"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, newProblem(CodeInvalidParameter, "limit=%q is not a number from 1 to %d", shorten(text), maxLimit)
		}
		q.Limit = min(n, maxLimit)
	}
	if view, ok := r.query["view"]; ok && view != string(normalize.ViewBasic) {
		return q, newProblem(CodeInvalidParameter, "view=%q is not basic; read single agents for their full view", shorten(view))
	}
	q.Require = r.values("require")
	if slices.Contains(q.Require, "all") {
		q.RequireAll, q.Require = true, nil
	}
	q.RequireAll = q.RequireAll || r.prefers("handling=strict")
	return q, nil
}

// values are the comma-separated values of a parameter.
func (r *request) values(name string) []string {
	var values []string
	for _, v := range strings.Split(r.query[name], ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

func (r *request) includesRaw() (bool, error) {
	raw := false
	for _, v := range r.values("include") {
		if v != "raw" {
			return false, newProblem(CodeInvalidParameter, "include=%q is not raw", shorten(v))
		}
		raw = true
	}
	return raw, nil
}

// prefers reports whether the Prefer header (RFC 7240) has the preference.
func (r *request) prefers(preference string) bool {
	for _, p := range strings.FieldsFunc(r.header("Prefer"), func(c rune) bool { return c == ',' || c == ';' }) {
		if strings.EqualFold(strings.TrimSpace(p), preference) {
			return true
		}
	}
	return false
}

// fresh reports whether the caller wants the backends asked again.
func (r *request) fresh() bool {
	for _, directive := range strings.Split(r.header("Cache-Control"), ",") {
		if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
			return true
		}
	}
	return false
}

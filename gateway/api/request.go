package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// request is what a handler sees of a request. Nothing in it aliases the connection's
// buffers, which the next request reuses.
type request struct {
	ctx       context.Context
	requestID string
	caller    *auth.Caller
	id        string // {id} in the path, escaped as it came
	query     map[string]string
	headers   *requestHeaders
	noCache   bool // Cache-Control: no-cache
	bodyless  bool // the body may be left out
	body      []byte
}

// readRequest reads what the route's handler needs of a request to the resource of that
// id, and refuses what the route does not support.
func readRequest(c *fiber.Ctx, state *requestState, route *route, id string, caller *auth.Caller) (*request, error) {
	r := &request{
		ctx: c.UserContext(), requestID: state.requestID, caller: caller, id: id, bodyless: route.bodyless,
		headers: state.headers, noCache: wantsNoCache(state.headers[headerCacheControl]), query: map[string]string{},
	}
	for k, v := range c.Context().QueryArgs().All() {
		name := string(k)
		if !slices.Contains(route.query, name) {
			return nil, unknownParameter(name, route.query)
		}
		if _, twice := r.query[name]; twice {
			return nil, problem.New(problem.CodeInvalidParameter, "%s was given twice; separate several values with commas", name)
		}
		r.query[name] = string(v)
	}
	if len(route.body) == 0 || route.bodyless && len(c.Request().Body()) == 0 {
		return r, nil
	}
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "Content-Encoding is not supported on requests; send the body uncompressed")
	}
	media, parameters, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	charset := parameters["charset"]
	if err != nil || !slices.Contains(route.body, media) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "Content-Type must be %s", strings.Join(route.body, " or "))
	}
	r.body = slices.Clone(c.Request().Body())
	return r, nil
}

func unknownParameter(name string, valid []string) *problem.Problem {
	hint := "this route has none"
	if len(valid) > 0 {
		hint = "this route has " + strings.Join(valid, ", ")
	}
	if near := normalize.Nearest(name, valid); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return problem.New(problem.CodeInvalidParameter, "unknown query parameter %q; %s", normalize.Shorten(name), hint)
}

// Limits of a list's page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

var digits = regexp.MustCompile(`^[0-9]+$`)

func (r *request) listQuery() (agents.ListQuery, error) {
	q := agents.ListQuery{Limit: defaultLimit, Cursor: r.query["cursor"], NoCache: r.noCache}
	var err error
	if q.Backends, err = r.values("backend"); err != nil {
		return q, err
	}
	if q.Providers, err = r.values("provider"); err != nil {
		return q, err
	}
	if q.Require, err = r.values("require"); err != nil {
		return q, err
	}
	if q.Query, err = r.filters(); err != nil {
		return q, err
	}
	if q.IncludeRaw, err = r.includesRaw(); err != nil {
		return q, err
	}
	if q.Limit, err = r.limit(); err != nil {
		return q, err
	}
	if q.Collapse, err = r.flag("collapse_migrated"); err != nil {
		return q, err
	}
	if cursor, given := r.query["cursor"]; given && cursor == "" {
		return q, problem.New(problem.CodeInvalidParameter, "cursor has an empty value; leave it out to begin a walk")
	}
	switch view, given := r.query["view"]; {
	case view == string(normalize.ViewFull):
		q.Full = true
	case given && view != string(normalize.ViewBasic):
		return q, problem.New(problem.CodeInvalidParameter, "view=%q is neither basic nor full", normalize.Shorten(view))
	}
	q.RequireAll = slices.Contains(q.Require, "all") || r.handling() == "strict"
	q.Require = slices.DeleteFunc(q.Require, func(name string) bool { return name == "all" })
	return q, nil
}

func (r *request) limit() (int, error) {
	text, given := r.query["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if !digits.MatchString(text) || err == nil && n < 1 {
		return 0, problem.New(problem.CodeInvalidParameter, "limit=%q is not a number from 1 to %d", normalize.Shorten(text), maxLimit)
	}
	if err != nil { // more digits than an int has
		n = maxLimit
	}
	return min(n, maxLimit), nil
}

// filters are what a list is filtered and ordered by.
func (r *request) filters() (catalog.Query, error) {
	var q catalog.Query
	for _, f := range catalog.FilterFields() {
		values, err := r.values(f.Name())
		if err != nil {
			return q, err
		}
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		values = slices.Compact(values) // the same wish, however it is written
		q.Filters = append(q.Filters, catalog.Filter{Field: f, Values: values})
		for _, v := range values {
			// The gateway itself derives it; the values of others are the
			// vendors', and any may be asked for.
			if known := normalize.KnownValues(f); f == normalize.FieldModality && !slices.Contains(known, v) {
				return q, problem.New(problem.CodeInvalidParameter, "modality=%q is not one of %s", normalize.Shorten(v), strings.Join(known, ", "))
			}
		}
	}
	if text, given := r.query["q"]; given {
		if q.Text = text; text == "" || strings.ContainsRune(text, 0) {
			return q, problem.New(problem.CodeInvalidParameter, "q is empty or holds a NUL; leave it out, or say what to look for")
		}
	}
	if text, given := r.query["order_by"]; given {
		var ok bool
		if q.Order, ok = catalog.ParseOrder(text); !ok {
			return q, problem.New(problem.CodeInvalidParameter, "order_by=%q is not one of %s, each with or without a - in front", normalize.Shorten(text), strings.Join(catalog.OrderNames(), ", "))
		}
	}
	return q, nil
}

// values are the comma-separated values of a parameter; none if it is not
// there.
func (r *request) values(name string) ([]string, error) {
	text, ok := r.query[name]
	if !ok {
		return nil, nil
	}
	var values []string
	for _, v := range strings.Split(text, ",") {
		if v = strings.TrimSpace(v); v == "" {
			return nil, problem.New(problem.CodeInvalidParameter, "%s has an empty value; leave it out, or name one", name)
		}
		values = append(values, v)
	}
	return values, nil
}

func (r *request) writeQuery() (agents.WriteQuery, error) {
	q := agents.WriteQuery{ID: r.id, Body: r.body, Lenient: r.handling() == "lenient", IfMatch: r.headers[headerIfMatch]}
	var err error
	if q.DryRun, err = r.flag("dry_run"); err != nil {
		return q, err
	}
	q.IgnoreAliases, err = r.original()
	return q, err
}

// flag is a parameter that is true or false; false if it is not there.
func (r *request) flag(name string) (bool, error) {
	switch text, given := r.query[name]; {
	case text == "true":
		return true, nil
	case given && text != "false":
		return false, problem.New(problem.CodeInvalidParameter, "%s=%q is neither true nor false", name, normalize.Shorten(text))
	}
	return false, nil
}

// original reports whether no alias is to be followed.
func (r *request) original() (bool, error) {
	text, given := r.query["resolve"]
	if given && text != "none" {
		return false, problem.New(problem.CodeInvalidParameter, "resolve=%q is not none; leave it out to follow aliases", normalize.Shorten(text))
	}
	return given, nil
}

// version is that of the alias that a request is about; 0 for any.
func (r *request) version() (int64, error) {
	text, given := r.query["version"]
	if !given {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, problem.New(problem.CodeInvalidParameter, "version=%q is not a number from 1 on", normalize.Shorten(text))
	}
	return n, nil
}

// decode reads the body into a struct, which has all members that there can be.
func (r *request) decode(into any) error {
	if len(r.body) == 0 && r.bodyless {
		return nil
	}
	value := jsontext.Value(r.body)
	if !value.IsValid() {
		return problem.New(problem.CodeInvalidBody, "the body is not one valid JSON object, without a member twice")
	}
	if value.Kind() != '{' {
		return problem.New(problem.CodeInvalidBody, "the body is not a JSON object")
	}
	err := json.Unmarshal(r.body, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return problem.New(problem.CodeInvalidBody, "the body cannot be read")
	}
	if errors.Is(err, json.ErrUnknownName) {
		return problem.InvalidField(string(wrong.JSONPointer), normalize.UnknownField, "there is no such member")
	}
	return problem.InvalidField(string(wrong.JSONPointer), normalize.WrongType, "got "+normalize.KindName(wrong.JSONKind)+wanted(wrong.GoType))
}

// wanted says what a member's type takes.
func wanted(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Int64:
		return ", want an integer"
	case reflect.String:
		return ", want a string"
	case reflect.Bool:
		return ", want true or false"
	case reflect.Slice:
		return ", want an array"
	case reflect.Map, reflect.Struct:
		return ", want an object"
	}
	return ""
}

var printable = regexp.MustCompile(`^[\x20-\x7e]{1,255}$`)

// idempotencyKey returns the request's Idempotency-Key; empty for none.
func (r *request) idempotencyKey() (string, error) {
	switch keys := r.headers[headerIdempotencyKey]; {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", problem.New(problem.CodeInvalidParameter, "there are several Idempotency-Key headers; send one")
	case !printable.MatchString(keys[0]):
		return "", problem.New(problem.CodeInvalidParameter, "Idempotency-Key must be 1 to 255 printable ASCII characters")
	default:
		return keys[0], nil
	}
}

func (r *request) includesRaw() (bool, error) {
	values, err := r.values("include")
	for _, v := range values {
		if v != "raw" {
			return false, problem.New(problem.CodeInvalidParameter, "include=%q is not raw", normalize.Shorten(v))
		}
	}
	return len(values) > 0, err
}

// handling is the caller's preference of that name (RFC 7240): strict,
// lenient, or empty. The first one counts.
func (r *request) handling() string {
	for _, line := range r.headers[headerPrefer] {
		for _, preference := range strings.Split(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "handling") {
				return strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
			}
		}
	}
	return ""
}

// wantsNoCache reports whether these lines of Cache-Control ask to read from the backends again.
func wantsNoCache(cacheControl []string) bool {
	for _, line := range cacheControl {
		for _, directive := range strings.Split(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
				return true
			}
		}
	}
	return false
}

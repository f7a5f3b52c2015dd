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
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// request is a parsed request, as a route's handler gets it. Nothing in it aliases the
// connection's buffers, which the next request reuses.
type request struct {
	ctx       context.Context
	requestID string
	caller    *auth.Caller
	id        string // {id} in the path, still escaped
	query     map[string]string
	headers   *requestHeaders
	noCache   bool // Cache-Control: no-cache
	bodyless  bool // the body is optional
	body      []byte
}

// readRequest parses a request for the route's handler. It returns a problem for query
// parameters and bodies that the route does not support.
func (s *Server) readRequest(c *fiber.Ctx, state *requestState, route *route, id string, caller *auth.Caller) (*request, error) {
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
	if len(route.body) == 0 {
		return r, nil
	}
	// Copied before the body is read: fasthttp merges trailers into the header.
	encoding, contentType := strings.Clone(c.Get(fiber.HeaderContentEncoding)), strings.Clone(c.Get(fiber.HeaderContentType))
	var err error
	if route.bodyless {
		if r.body, err = s.readBody(c, state); err != nil || len(r.body) == 0 {
			return r, err
		}
	}
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "Content-Encoding is not supported on requests; send the body uncompressed")
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	charset := parameters["charset"]
	if err != nil || !slices.Contains(route.body, media) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "Content-Type must be %s", strings.Join(route.body, " or "))
	}
	if !route.bodyless {
		r.body, err = s.readBody(c, state)
	}
	return r, err
}

func unknownParameter(name string, valid []string) *problem.Problem {
	hint := "this route has no parameters"
	if len(valid) > 0 {
		hint = "this route supports " + strings.Join(valid, ", ")
	}
	if near := normalize.Nearest(name, valid); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return problem.New(problem.CodeInvalidParameter, "unknown query parameter %q; %s", normalize.Shorten(name), hint)
}

// writeQuery decodes a create, update or delete of an agent.
func (r *request) writeQuery() (agents.WriteQuery, error) {
	q := agents.WriteQuery{ID: r.id, Body: r.body, Lenient: r.handling() == "lenient", IfMatch: r.headers[headerIfMatch]}
	var err error
	if q.DryRun, err = r.flag("dry_run"); err != nil {
		return q, err
	}
	q.IgnoreAliases, err = r.original()
	return q, err
}

// flag returns the value of a boolean parameter, which is false by default.
func (r *request) flag(name string) (bool, error) {
	switch text, given := r.query[name]; {
	case text == "true":
		return true, nil
	case given && text != "false":
		return false, problem.New(problem.CodeInvalidParameter, "%s=%q: must be true or false", name, normalize.Shorten(text))
	}
	return false, nil
}

// original reports whether the request asks for the agent that has the id itself, and not for
// the target of an alias.
func (r *request) original() (bool, error) {
	text, given := r.query["resolve"]
	if given && text != "none" {
		return false, problem.New(problem.CodeInvalidParameter, "resolve=%q: must be none; leave it out to follow aliases", normalize.Shorten(text))
	}
	return given, nil
}

// version returns the version of the alias to delete; 0 for any.
func (r *request) version() (int64, error) {
	text, given := r.query["version"]
	if !given {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, problem.New(problem.CodeInvalidParameter, "version=%q: must be an integer of 1 or more", normalize.Shorten(text))
	}
	return n, nil
}

// decode decodes the body into a struct. Fields that the struct does not have are an error. An
// optional body that is missing leaves the struct as it is.
func (r *request) decode(into any) error {
	if len(r.body) == 0 && r.bodyless {
		return nil
	}
	value := jsontext.Value(r.body)
	if !value.IsValid() {
		return problem.New(problem.CodeInvalidBody, "the body is not valid JSON, or has a field twice")
	}
	if value.Kind() != '{' {
		return problem.New(problem.CodeInvalidBody, "the body must be a JSON object")
	}
	err := json.Unmarshal(r.body, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return problem.New(problem.CodeInvalidBody, "the body cannot be decoded")
	}
	if errors.Is(err, json.ErrUnknownName) {
		return problem.InvalidField(string(wrong.JSONPointer), normalize.UnknownField, "no such field")
	}
	return problem.InvalidField(string(wrong.JSONPointer), normalize.WrongType, expected(wrong.GoType)+"got "+normalize.KindName(wrong.JSONKind))
}

// expected describes the JSON type that a field requires, to begin an error with.
func expected(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Int64:
		return "want an integer, "
	case reflect.String:
		return "want a string, "
	case reflect.Bool:
		return "want true or false, "
	case reflect.Slice:
		return "want an array, "
	case reflect.Map, reflect.Struct:
		return "want an object, "
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
		return "", problem.New(problem.CodeInvalidParameter, "several Idempotency-Key headers; send one")
	case !printable.MatchString(keys[0]):
		return "", problem.New(problem.CodeInvalidParameter, "Idempotency-Key must be 1 to 255 printable ASCII characters")
	default:
		return keys[0], nil
	}
}

// includesRaw reports whether the request asks for the provider's own JSON.
func (r *request) includesRaw() (bool, error) {
	values, err := r.values("include")
	for _, v := range values {
		if v != "raw" {
			return false, problem.New(problem.CodeInvalidParameter, "include=%q: must be raw", normalize.Shorten(v))
		}
	}
	return len(values) > 0, err
}

// handling returns the handling preference of the Prefer header (RFC 7240): strict, lenient,
// or an empty string. The first one counts.
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

// wantsNoCache reports whether lines of Cache-Control have the directive no-cache.
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

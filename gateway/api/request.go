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
	// violations are those found so far in the query and in the headers.
	violations []normalize.Violation
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
		_, twice := r.query[name]
		switch {
		case !slices.Contains(route.query, name):
			r.unknownParameter(name, route.query)
		case twice:
			r.invalid(name, "was given twice; separate several values with commas")
		default:
			r.query[name] = string(v)
		}
	}
	if err := r.refusal(); err != nil {
		return nil, err
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

func (r *request) unknownParameter(name string, valid []string) {
	message := "unknown query parameter; this route has none"
	if len(valid) > 0 {
		message = "unknown query parameter; this route supports " + strings.Join(valid, ", ")
	}
	if near := normalize.Nearest(name, valid); near != "" {
		message = fmt.Sprintf("unknown query parameter; did you mean %s?", near)
	}
	r.violate(normalize.Violation{Parameter: normalize.Shorten(name), Code: normalize.UnknownParameter, Message: message})
}

func (r *request) violate(v normalize.Violation) {
	if len(r.violations) < normalize.MaxViolations {
		r.violations = append(r.violations, v)
	}
}

// invalid records that a query parameter has no allowed value. The message is in the form of
// fmt.Sprintf.
func (r *request) invalid(parameter, format string, args ...any) {
	r.violate(normalize.Violation{Parameter: parameter, Code: normalize.InvalidValue, Message: fmt.Sprintf(format, args...)})
}

// refusal returns the problem of the violations found so far, nil for none.
func (r *request) refusal() error {
	if len(r.violations) == 0 {
		return nil
	}
	return problem.InvalidInput(r.violations...)
}

// writeQuery decodes a create, update or delete of an agent.
func (r *request) writeQuery() (agents.WriteQuery, error) {
	q := agents.WriteQuery{
		ID: r.id, Body: r.body, Lenient: r.handling() == "lenient", IfMatch: r.headers[headerIfMatch],
		DryRun: r.flag("dry_run"), IgnoreAliases: r.original(), IdempotencyKey: r.idempotencyKey(),
	}
	r.checkIfMatch()
	return q, r.refusal()
}

// checkIfMatch checks that If-Match has the form of RFC 9110, section 13.1.1. An entity tag without
// its quotes would match nothing.
func (r *request) checkIfMatch() {
	for _, line := range r.headers[headerIfMatch] {
		if !agents.ValidETags(line) {
			r.violate(normalize.Violation{Header: headerNames[headerIfMatch], Code: normalize.InvalidValue, Message: "must be * or entity tags in double quotes, as in the ETag of a response"})
			return
		}
	}
}

// flag returns the value of a boolean parameter, which is false by default.
func (r *request) flag(name string) bool {
	text, given := r.query[name]
	if given && text != "true" && text != "false" {
		r.invalid(name, "must be true or false, got %q", normalize.Shorten(text))
	}
	return text == "true"
}

// original reports whether the request asks for the agent that has the id itself, and not for
// the target of an alias.
func (r *request) original() bool {
	text, given := r.query["resolve"]
	if given && text != "none" {
		r.invalid("resolve", "must be none, got %q; leave it out to follow aliases", normalize.Shorten(text))
	}
	return given
}

// version returns the version of the alias to delete; 0 for any.
func (r *request) version() int64 {
	text, given := r.query["version"]
	if !given {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		r.invalid("version", "must be an integer of 1 or more, got %q", normalize.Shorten(text))
	}
	return n
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
func (r *request) idempotencyKey() string {
	keys := r.headers[headerIdempotencyKey]
	message := ""
	switch {
	case len(keys) == 0:
		return ""
	case len(keys) > 1:
		message = "was given twice; send one"
	case !printable.MatchString(keys[0]):
		message = "must be 1 to 255 printable ASCII characters"
	default:
		return keys[0]
	}
	r.violate(normalize.Violation{Header: headerNames[headerIdempotencyKey], Code: normalize.InvalidValue, Message: message})
	return ""
}

// includesRaw reports whether the request asks for the provider's own JSON.
func (r *request) includesRaw() bool {
	values := r.values("include")
	for _, v := range values {
		if v != "raw" {
			r.invalid("include", "must be raw, got %q", normalize.Shorten(v))
		}
	}
	return len(values) > 0
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

// Package openapi writes the gateway's API down as OpenAPI 3.1, for /openapi.json.
//
// Routes, codes, fields and what each provider holds come from the code that they are
// used by; what is said of them, and the shapes of the answers, stand here. A route or a
// parameter without a description fails a test, and so does an answer of a test that
// the document does not have.
//
// It must not know HTTP, the gateway's state or any one vendor.
package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
)

// Input is what the document is made of.
type Input struct {
	Version   string
	Routes    []Route
	Codes     []Code
	Providers []*adapters.Info // in the order in which they are named
	Orders    []string         // what a list can be ordered by
	Migration Migration
}

// Migration is what migrations can say.
type Migration struct{ States, Steps, Kinds, Severities, Verdicts, Transforms []string }

// Route is one thing that can be asked.
type Route struct {
	Method, Path string   // as in "GET", "/v1/agents/{id}"
	Open         bool     // needs no key
	Scope        string   // beside a key; "" for any key
	Query        []string // the parameters that it takes
	Body         []string // media types of the body that it takes
	Bodyless     bool     // it may come without one
}

// Code is an error code and what is said of it.
type Code struct {
	Code, Title, Cure string
	Status            int
}

// object is a JSON object.
type object = map[string]any

// Build is the document, as JSON. An error is a mistake in the code: something that
// nothing is said of.
func Build(in Input) ([]byte, error) {
	examples, err := readExamples()
	if err != nil {
		return nil, err
	}
	b := builder{in: in, examples: examples, codes: map[string]Code{}}
	for _, c := range in.Codes {
		b.codes[c.Code] = c
	}
	paths := object{}
	for _, r := range in.Routes {
		o, err := b.operation(r)
		if err != nil {
			return nil, err
		}
		path, _ := paths[r.Path].(object)
		if path == nil {
			path = object{}
			paths[r.Path] = path
		}
		path[strings.ToLower(r.Method)] = o
	}
	for name := range operations {
		if !slices.ContainsFunc(in.Routes, func(r Route) bool { return r.Method+" "+r.Path == name }) {
			return nil, fmt.Errorf("openapi: %s is described, and is no route", name)
		}
	}
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "agentgw", "version": in.Version, "description": about,
			"contact": object{"name": "the operator of this gateway"},
		},
		"servers":  []object{{"url": "/", "description": "this gateway"}},
		"security": []object{{"bearer": []string{}}, {"apiKey": []string{}}},
		"tags": []object{
			{"name": "agents", "description": "Agents of all backends that the key maps to, in one shape."},
			{"name": "aliases", "description": "Names that lead to agents: slugs, and ids of agents that were moved."},
			{"name": "migrations", "description": "Moving agents from one backend to another, while clients notice nothing."},
			{"name": "backends", "description": "What the backends are, what they can do, and how they are."},
			{"name": "documentation", "description": "This description, and pages made of it."},
		},
		"paths": paths,
		"components": object{
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer agw_…`"},
				"apiKey": object{"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: agw_…`; a different key in each of the two headers is 400"},
			},
			"schemas": b.schemas(),
			"headers": headers,
		},
	}
	return json.Marshal(document, json.Deterministic(true), jsontext.EscapeForHTML(false))
}

const about = `One API over the agents of several vendors.

Every answer under /v1 that has a body is JSON, and every error is application/problem+json
(RFC 9457) with a ` + "`code`" + ` that programs can act on; [/docs/errors](/docs/errors) has cause and cure of each.
Every GET answers HEAD, and every path OPTIONS, as HTTP says. Values of enumerations that are
not known are passed through as the vendor sent them.`

type builder struct {
	in       Input
	codes    map[string]Code
	examples map[string]jsontext.Value
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

func (b *builder) operation(r Route) (object, error) {
	name := r.Method + " " + r.Path
	d, ok := operations[name]
	if !ok {
		return nil, fmt.Errorf("openapi: nothing is said of %s", name)
	}
	description := d.description
	if r.Scope != "" {
		description += "\n\nNeeds the scope `" + r.Scope + "`."
	}
	o := object{"operationId": d.id, "summary": d.summary, "description": strings.TrimSpace(description), "tags": []string{d.tag}}
	if r.Open {
		o["security"] = []object{}
	}
	params, err := b.parameters(r, d)
	if err != nil {
		return nil, err
	}
	if len(params) > 0 {
		o["parameters"] = params
	}
	if len(r.Body) > 0 {
		content := object{}
		for _, media := range r.Body {
			content[media] = object{"schema": ref("schemas", d.body), "examples": object{"request": object{"value": d.example}}}
		}
		o["requestBody"] = object{"required": !r.Bodyless, "content": content}
	}
	responses, err := b.responses(r, d)
	if err != nil {
		return nil, err
	}
	o["responses"] = responses
	return o, nil
}

func (b *builder) parameters(r Route, d operation) ([]object, error) {
	var params []object
	if strings.Contains(r.Path, "{") {
		name := r.Path[strings.Index(r.Path, "{")+1 : strings.Index(r.Path, "}")]
		p, ok := pathParameters[r.Path]
		if !ok {
			return nil, fmt.Errorf("openapi: nothing is said of {%s} in %s", name, r.Path)
		}
		params = append(params, object{"name": name, "in": "path", "required": true, "description": p.description, "schema": p.schema, "example": p.example})
	}
	for _, name := range r.Query {
		p, ok := queryParameters[name]
		if !ok {
			return nil, fmt.Errorf("openapi: nothing is said of the parameter %s", name)
		}
		if name == "order_by" {
			p.schema = b.orders()
		}
		param := object{"name": name, "in": "query", "description": p.description, "schema": p.schema}
		if p.list {
			param["style"], param["explode"] = "form", false
		}
		params = append(params, param)
	}
	names := d.headers
	if !r.Open {
		names = append([]string{"X-Request-Id", "traceparent"}, names...)
	}
	for _, name := range names {
		p, ok := headerParameters[name]
		if !ok {
			return nil, fmt.Errorf("openapi: nothing is said of the header %s", name)
		}
		params = append(params, object{"name": name, "in": "header", "description": p.description, "schema": p.schema})
	}
	return params, nil
}

// orders is the schema of order_by.
func (b *builder) orders() object {
	var values []string
	for _, name := range b.in.Orders {
		values = append(values, name, "-"+name)
	}
	return object{"type": "string", "enum": values}
}

// always are the codes that any route with a key can answer, and open those of any.
var (
	open   = []string{"invalid_parameter", "request_timeout", "body_too_large", "uri_too_long", "headers_too_large", "internal", "overloaded", "draining"}
	always = append([]string{"unauthenticated", "scope_missing", "not_acceptable", "rate_limited"}, open...)
)

func (b *builder) responses(r Route, d operation) (object, error) {
	responses := object{}
	for _, s := range d.answers {
		names := append([]string{"X-Request-Id"}, s.headers...)
		if !r.Open {
			names = append(names, "RateLimit", "RateLimit-Policy")
		}
		answer := object{"description": s.description, "headers": headersOf(names)}
		if s.media != "" {
			content := object{"schema": s.schema}
			if examples := b.examplesOf(d.id, s.status); len(examples) > 0 {
				content["examples"] = examples
			}
			answer["content"] = object{s.media: content}
		}
		responses[s.status] = answer
	}
	byStatus := map[string][]Code{}
	common := always
	if r.Open {
		common = open
	}
	for _, name := range append(slices.Clone(common), d.codes...) {
		c, ok := b.codes[name]
		if !ok {
			return nil, fmt.Errorf("openapi: %s has the code %s, which there is not", d.id, name)
		}
		if name == "scope_missing" && r.Scope == "" {
			continue
		}
		status := fmt.Sprint(c.Status)
		byStatus[status] = append(byStatus[status], c)
	}
	for status, codes := range byStatus {
		responses[status] = b.problem(status, codes, r)
	}
	return responses, nil
}

func (b *builder) problem(status string, codes []Code, r Route) object {
	var text strings.Builder
	examples := object{}
	for _, c := range codes {
		fmt.Fprintf(&text, "* [`%s`](/docs/errors#%s): %s. %s\n", c.Code, c.Code, c.Title, c.Cure)
		if example, ok := b.examples["problem "+c.Code]; ok {
			examples[c.Code] = object{"summary": c.Title, "value": example}
		}
	}
	names := []string{"X-Request-Id", "Cache-Control", "Vary"}
	switch status {
	case "401":
		names = append(names, "WWW-Authenticate")
	case "409", "429", "503", "504":
		names = append(names, "Retry-After")
	}
	if r.Method == "POST" {
		names = append(names, "Idempotency-Replayed")
	}
	if !r.Open && status != "401" {
		names = append(names, "RateLimit", "RateLimit-Policy")
	}
	content := object{"schema": ref("schemas", "Problem")}
	if len(examples) > 0 {
		content["examples"] = examples
	}
	return object{"description": strings.TrimSpace(text.String()), "headers": headersOf(names), "content": object{"application/problem+json": content}}
}

func headersOf(names []string) object {
	set := object{}
	for _, name := range names {
		if _, ok := headers[name]; !ok {
			panic("openapi: nothing is said of the header " + name) // a test builds the document
		}
		set[name] = ref("headers", name)
	}
	return set
}

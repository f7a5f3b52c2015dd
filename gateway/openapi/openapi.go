// Package openapi builds the OpenAPI 3.1 document that the gateway serves at
// /openapi.json.
//
// Routes, error codes, fields and capabilities come from the code that implements them,
// by way of Input. The descriptions and the response schemas are in this package. Tests
// fail for a route or parameter without a description, and for any response that the
// document does not describe.
//
// The package must not know HTTP servers, the gateway's state or any one provider.
//
// Begin with Build, then operations for the routes and builder.schemas for the bodies.
package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
)

// Input is what the document describes.
type Input struct {
	Version   string
	Routes    []Route
	Codes     []Code
	Providers []*adapters.Info // in documentation order
	Orders    []string         // the fields that a list can be ordered by
	Migration Migration
}

// Migration holds the enumerations of the migration routes.
type Migration struct{ States, Steps, Kinds, Severities, Verdicts, Transforms []string }

// Route is a route of the API.
type Route struct {
	Method, Path string   // such as "GET", "/v1/agents/{id}"
	Open         bool     // no key required
	Scope        string   // the scope that the key needs; "" for any key
	Query        []string // the accepted query parameters
	Body         []string // the accepted media types of the body
	Bodyless     bool     // the body is optional
}

// Code is an error code. Fix says what the caller can do about it.
type Code struct {
	Code, Title, Fix string
	Status           int
}

// Build returns the document as JSON. An error is a programming mistake: a route, parameter
// or code that this package does not describe, or a description without a route.
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
			return nil, fmt.Errorf("openapi: %s has a description but is not a route", name)
		}
	}
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "agentgw", "version": in.Version, "description": about,
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"contact": object{"name": "the operator of this gateway"},
		},
		"servers":  []object{{"url": ".", "description": "this gateway, wherever a proxy put it"}},
		"security": []object{{"bearer": []string{}}, {"apiKey": []string{}}},
		"tags": []object{
			{"name": "agents", "description": "Agents of all backends that the key maps to, in one format."},
			{"name": "aliases", "description": "Names that resolve to agents: slugs, and ids of agents that were migrated."},
			{"name": "migrations", "description": "Moving agents from one backend to another without client changes."},
			{"name": "backends", "description": "The backends, their capabilities and their current state."},
			{"name": "documentation", "description": "This document and the pages generated from it."},
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

const about = `One API for the agents of several providers.

Every response body under /v1 is JSON. Every error is application/problem+json (RFC 9457) with a
machine-readable ` + "`code`" + `; [/docs/errors](/docs/errors) documents the cause and the fix of each code.
Every GET route supports HEAD, and every path supports OPTIONS. Unknown enumeration values are
passed through as the provider sent them.`

type builder struct {
	in       Input
	codes    map[string]Code
	examples map[string]jsontext.Value
}

func (b *builder) operation(r Route) (object, error) {
	name := r.Method + " " + r.Path
	d, ok := operations[name]
	if !ok {
		return nil, fmt.Errorf("openapi: %s has no description", name)
	}
	description := d.description
	if r.Scope != "" {
		description += "\n\nRequires the scope `" + r.Scope + "`."
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
			return nil, fmt.Errorf("openapi: the path parameter {%s} of %s has no description", name, r.Path)
		}
		params = append(params, object{"name": name, "in": "path", "required": true, "description": p.description, "schema": p.schema, "example": p.example})
	}
	for _, name := range r.Query {
		p, ok := queryParameters[name]
		if !ok {
			return nil, fmt.Errorf("openapi: the query parameter %s has no description", name)
		}
		if name == "order_by" {
			p.schema = b.orderSchema()
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
			return nil, fmt.Errorf("openapi: the request header %s has no description", name)
		}
		params = append(params, object{"name": name, "in": "header", "description": p.description, "schema": p.schema})
	}
	return params, nil
}

// orderSchema returns the schema of order_by.
func (b *builder) orderSchema() object {
	var values []string
	for _, name := range b.in.Orders {
		values = append(values, name, "-"+name)
	}
	return object{"type": "string", "enum": values}
}

// publicCodes are the codes of every route, commonCodes those of every route that needs a key.
var (
	publicCodes = []string{"invalid_parameter", "request_timeout", "body_too_large", "uri_too_long", "headers_too_large", "internal", "overloaded", "draining"}
	commonCodes = append([]string{"unauthenticated", "scope_missing", "not_acceptable", "rate_limited"}, publicCodes...)
)

func (b *builder) responses(r Route, d operation) (object, error) {
	responses := object{}
	for _, s := range d.responses {
		names := append([]string{"X-Request-Id"}, s.headers...)
		if !r.Open {
			names = append(names, "RateLimit", "RateLimit-Policy")
		}
		response := object{"description": s.description, "headers": headersOf(names)}
		if s.media != "" {
			content := object{"schema": s.schema}
			if examples := b.examplesOf(d.id, s.status); len(examples) > 0 {
				content["examples"] = examples
			}
			response["content"] = object{s.media: content}
		}
		responses[s.status] = response
	}
	byStatus := map[string][]Code{}
	common := commonCodes
	if r.Open {
		common = publicCodes
	}
	for _, name := range append(slices.Clone(common), d.codes...) {
		c, ok := b.codes[name]
		if !ok {
			return nil, fmt.Errorf("openapi: %s lists the error code %s, which does not exist", d.id, name)
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

// problem returns the error response that covers all codes of a status.
func (b *builder) problem(status string, codes []Code, r Route) object {
	var text strings.Builder
	examples := object{}
	for _, c := range codes {
		fmt.Fprintf(&text, "* [`%s`](/docs/errors#%s): %s. %s\n", c.Code, c.Code, c.Title, c.Fix)
		if example, ok := b.examples["problem "+c.Code]; ok {
			examples[c.Code] = object{"summary": c.Title, "value": example}
		}
	}
	names := []string{"X-Request-Id", "Cache-Control", "Vary"}
	switch status {
	case "412":
		names = append(names, "ETag")
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
			panic("openapi: the response header " + name + " has no description") // a test builds the document
		}
		set[name] = ref("headers", name)
	}
	return set
}

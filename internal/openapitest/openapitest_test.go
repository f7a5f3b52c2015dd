package openapitest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// document uses each JSON Schema construct that the gateway's document uses.
const document = `{
  "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
  "paths": {
    "/v1/agents": {"get": {"responses": {
      "200": {"description": "d", "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestID"}, "Link": {"$ref": "#/components/headers/Link"}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/List"}}}},
      "304": {"description": "d", "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestID"}}},
      "400": {"description": "d", "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestID"}},
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    }}},
    "/v1/agents/{id}": {"delete": {"responses": {"204": {"description": "d", "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestID"}}}}}}
  },
  "components": {
    "headers": {"RequestID": {"required": true, "schema": {"type": "string"}}, "Link": {"schema": {"type": "string"}}},
    "schemas": {
      "Problem": {"type": "object", "required": ["code"], "properties": {"code": {"enum": ["invalid_request", "agent_not_found"]}}},
      "Agent": {"type": "object", "required": ["id", "name"], "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+:"}, "name": {"type": ["string", "null"]}, "created_at": {"type": "string", "format": "date-time"},
        "kind": {"const": "agent"}, "weight": {"type": "number", "exclusiveMinimum": 0}, "extensions": {"type": "object", "additionalProperties": true}}},
      "List": {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "maxItems": 2, "items": {"$ref": "#/components/schemas/Agent"}}}}
    }
  }
}`

// response is what a case changes.
type response struct {
	method, path string
	status       int
	header       http.Header
	body         string
}

func TestCheck(t *testing.T) {
	d, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	good := func() response {
		return response{"GET", "/v1/agents?limit=1", 200, http.Header{"X-Request-Id": {"r"}, "Content-Type": {"application/json"}}, `{"data": [{"id": "klen:1", "name": null}]}`}
	}
	check := func(r response) error {
		return d.Check(&http.Response{StatusCode: r.status, Header: r.header, Request: httptest.NewRequest(r.method, r.path, nil)}, []byte(r.body))
	}
	body := func(text string) func(*response) { return func(r *response) { r.body = text } }
	agent := func(members string) func(*response) {
		return body(`{"data": [{"id": "klen:1", "name": "n", ` + members + `}]}`)
	}
	for _, c := range []struct {
		name   string
		change func(*response)
		want   string // in the error; empty: no error
	}{
		{"as described", func(*response) {}, ""},
		{"every member", agent(`"created_at": "2026-01-02T03:04:05Z", "kind": "agent", "weight": 0.5, "extensions": {"x": {"y": 1}}`), ""},
		{"optional header", func(r *response) { r.header.Set("Link", "<x>") }, ""},
		{"HEAD", func(r *response) { r.method, r.body = "HEAD", "" }, ""},
		{"problem of an unknown path", func(r *response) {
			r.path, r.status, r.body = "/elsewhere", 404, `{"code": "agent_not_found"}`
			r.header.Set("Content-Type", "application/problem+json")
		}, ""},
		{"no content", func(r *response) { r.method, r.path, r.status, r.body = "DELETE", "/v1/agents/klen:1", 204, "" }, ""},

		{"not JSON", body(`{`), "unexpected EOF"},
		{"wrong type", body(`{"data": {}}`), "want array"},
		{"missing member", body(`{"data": [{"id": "klen:1"}]}`), "missing property 'name'"},
		{"undescribed member", agent(`"nmae": 1`), "'nmae' not allowed"},
		{"undescribed member at the top", body(`{"data": [], "more": 1}`), "'more' not allowed"},
		{"null where it is not a type", body(`{"data": [{"id": null, "name": "n"}]}`), "got null, want string"},
		{"third type", body(`{"data": [{"id": "klen:1", "name": 1}]}`), "got number"},
		{"pattern", body(`{"data": [{"id": "1", "name": "n"}]}`), "pattern"},
		{"format", agent(`"created_at": "yesterday"`), "date-time"},
		{"const", agent(`"kind": "list"`), "must be 'agent'"},
		{"exclusive minimum", agent(`"weight": 0`), "exclusiveMinimum"},
		{"too many items", body(`{"data": [{"id":"a:1","name":null},{"id":"a:2","name":null},{"id":"a:3","name":null}]}`), "maxItems"},
		{"enum", func(r *response) {
			r.status, r.body = 400, `{"code": "nonsense"}`
			r.header.Set("Content-Type", "application/problem+json")
		}, "must be one of"},
		{"undescribed status", func(r *response) { r.status = 201 }, "the status 201 is not described"},
		{"undescribed path", func(r *response) { r.path = "/elsewhere" }, "is not described"},
		{"undescribed media type", func(r *response) { r.header.Set("Content-Type", "text/html") }, `Content-Type "text/html" is not described`},
		{"undescribed header", func(r *response) { r.header.Set("X-Other", "1") }, "the header X-Other is not described"},
		{"missing header", func(r *response) { r.header.Del("X-Request-Id") }, "there is no header X-Request-Id"},
		{"missing header of HEAD", func(r *response) { r.method = "HEAD"; r.header.Del("X-Request-Id") }, "there is no header X-Request-Id"},
		{"missing header of 304", func(r *response) { r.status, r.body = 304, ""; r.header.Del("X-Request-Id") }, "there is no header X-Request-Id"},
		{"undescribed body", func(r *response) { r.method, r.path, r.status = "DELETE", "/v1/agents/klen:1", 204 }, "a body is not described"},
		{"undescribed body of 304", func(r *response) { r.status = 304 }, "a body is not described"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.change(&r)
			switch err := check(r); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q in it", err, c.want)
			}
		})
	}
}

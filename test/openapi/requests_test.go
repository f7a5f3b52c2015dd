package openapi

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/internal/openapitest"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "9000"); err != nil { // fewer do not reach every kind of response
		panic(err)
	}
	gatewaytest.Main(m)
}

// TestGeneratedRequests tests that the response to every request that the document allows is
// one that the document describes. Gateway.Ask checks the responses.
func TestGeneratedRequests(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{PerBackend: "max_response_bytes: 1MiB"})
	document, err := openapitest.Fetch(g.Client, g.URL)
	if err != nil {
		t.Fatal(err)
	}
	made := generator{document}
	statuses := map[string]int{}
	paths := slices.Sorted(maps.Keys(document.Paths()))
	for range 2 * len(paths) { // weighted: it has the most kinds of responses
		paths = append(paths, "/v1/agents/{id}")
	}
	paths = append(paths, "/v1/agents", "/v1/agents", "/v1/agents") // few creates are valid
	rapid.Check(t, func(rt *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(rt, "path")
		operations := document.Paths()[path].(map[string]any)
		method := rapid.SampledFrom(slices.Sorted(maps.Keys(operations))).Draw(rt, "method")
		if _, ok := operations["patch"]; ok && method == "delete" && rapid.IntRange(0, 49).Draw(rt, "delete") > 0 {
			method = "patch" // while there is an agent left
		}
		operation := operations[method].(map[string]any)
		target, headers := made.target(rt, path, operation)
		body := ""
		if request, ok := operation["requestBody"].(map[string]any); ok {
			content := request["content"].(map[string]any)["application/json"].(map[string]any)
			data, err := json.Marshal(made.value(rt, "body", content["schema"].(map[string]any)))
			if err != nil {
				rt.Fatal(err)
			}
			body = string(data)
		}
		r, err := g.Ask(context.Background(), "acme", strings.ToUpper(method), target, body, headers...)
		if err != nil {
			rt.Fatalf("%s %s %v %s: %v: %s", method, target, headers, body, err, r.Text)
		}
		if r.Status == 500 {
			rt.Fatalf("%s %s %v %s: %s", method, target, headers, body, r.Text)
		}
		statuses[fmt.Sprint(method, " ", r.Status)]++
	})
	t.Log(statuses)
	for _, want := range []string{"get 200", "get 404", "post 201", "post 422", "patch 200", "delete 204"} {
		if statuses[want] == 0 && !testing.Short() { // with -short too few are made
			t.Errorf("no request had the result %s", want)
		}
	}
}

// generator generates values of the document's schemas.
type generator struct{ document *openapitest.Document }

var agents = []string{"klen:123", "klen:assistant_abc123", "talkifai:agent_abc123", "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "agenthuman:131", "krosai:none", "nonsense"}

func (g generator) target(t *rapid.T, path string, operation map[string]any) (string, []string) {
	query := url.Values{}
	var headers []string
	params, _ := operation["parameters"].([]any)
	for _, p := range params {
		p := p.(map[string]any)
		name, in := p["name"].(string), p["in"].(string)
		if in == "path" {
			value := fmt.Sprint(p["example"])
			switch {
			case strings.HasPrefix(path, "/v1/agents"):
				value = rapid.SampledFrom(agents).Draw(t, name)
			case rapid.Bool().Draw(t, "another "+name):
				value = "none"
			}
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(value), 1)
			continue
		}
		if rapid.IntRange(0, 3).Draw(t, "with "+name) > 0 {
			continue
		}
		value := text(g.value(t, name, p["schema"].(map[string]any)))
		switch {
		case in == "query":
			query.Set(name, value)
		case value != "":
			headers = append(headers, name+": "+value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path, headers
}

// text encodes a value as a parameter.
func text(v any) string {
	if several, ok := v.([]any); ok {
		var words []string
		for _, w := range several {
			words = append(words, text(w))
		}
		return strings.Join(words, ",")
	}
	return fmt.Sprint(v)
}

var words = []string{"klen", "krosai", "auto", "active", "text", "name", "-created_at", "no-cache", "handling=lenient", `"tag"`, "*", "en", "gpt-4o", "x", "ü", "Night Desk", "1", "all"}

func (g generator) value(t *rapid.T, name string, schema map[string]any) any {
	if ref, ok := schema["$ref"].(string); ok {
		return g.value(t, name, g.document.Schema(ref[strings.LastIndex(ref, "/")+1:]))
	}
	if c, ok := schema["const"]; ok {
		return c
	}
	if enum, ok := schema["enum"].([]any); ok {
		return rapid.SampledFrom(enum).Draw(t, name)
	}
	if examples, ok := schema["examples"].([]any); ok && rapid.Bool().Draw(t, name+" known") {
		return rapid.SampledFrom(examples).Draw(t, name)
	}
	kind, _ := schema["type"].(string)
	if several, ok := schema["type"].([]any); ok {
		kind = rapid.SampledFrom(several).Draw(t, name+" type").(string)
	}
	switch kind {
	case "null":
		return nil
	case "boolean":
		return rapid.Bool().Draw(t, name)
	case "integer":
		return rapid.IntRange(1, 1000).Draw(t, name)
	case "number":
		return rapid.Float64Range(0, 2).Draw(t, name)
	case "array":
		items := schema["items"].(map[string]any)
		var values []any
		for i := range rapid.IntRange(1, 3).Draw(t, name+" length") {
			values = append(values, g.value(t, fmt.Sprint(name, i), items))
		}
		return values
	case "object":
		return g.object(t, name, schema)
	}
	return rapid.SampledFrom(words).Draw(t, name)
}

func (g generator) object(t *rapid.T, name string, schema map[string]any) any {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	o := map[string]any{}
	rare := rapid.IntRange(1, 20).Draw(t, name+" is sparse")
	for _, member := range slices.Sorted(maps.Keys(properties)) {
		// The schema cannot say that a key of several backends has to name one.
		if slices.Contains(required, any(member)) || member == "backend" || rapid.IntRange(0, rare).Draw(t, name+" with "+member) == 0 {
			o[member] = g.value(t, member, properties[member].(map[string]any))
		}
	}
	return o
}

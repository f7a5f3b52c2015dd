// Package described holds answers of a gateway against the OpenAPI document that it
// serves itself: what a test sees and the document does not have is a failure of that
// test.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is a gateway's OpenAPI document. It is safe for concurrent use.
type Document struct {
	tree  map[string]any
	paths []path

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // compiled, by JSON pointer
}

// path is a path template, and the expression that matches it.
type path struct {
	name    string
	matches *regexp.Regexp
}

// location is the URL of the document within the compiler.
const location = "mem:///openapi.json"

// Parse parses a document. It closes the document's objects: clients should accept members
// that are not described, but a gateway must not send them.
func Parse(data []byte) (*Document, error) {
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	closeObjects(tree)
	d := &Document{tree: tree, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, tree); err != nil {
		return nil, err
	}
	for name := range at(tree, "paths") {
		pattern := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(name), `[^/]+`)
		d.paths = append(d.paths, path{name, regexp.MustCompile("^" + pattern + "$")})
	}
	return d, nil
}

// closeObjects sets additionalProperties to false in every object that does not set it.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, has := v["properties"].(map[string]any)
		_, set := v["additionalProperties"]
		if has && !set {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// at returns the object at the end of a chain of members, or nil.
func at(tree map[string]any, names ...string) map[string]any {
	for _, name := range names {
		tree, _ = tree[name].(map[string]any)
	}
	return tree
}

// Paths returns the document's path items, by path template.
func (d *Document) Paths() map[string]any { return at(d.tree, "paths") }

// Schema returns a schema of the components by its name.
func (d *Document) Schema(name string) map[string]any {
	return at(d.tree, "components", "schemas", name)
}

// Check checks a response against the document and returns the first difference. It does
// not check bodies with a Content-Encoding, nor CORS preflight responses.
func (d *Document) Check(r *http.Response, body []byte) error {
	if r.Request.Method == http.MethodOptions || r.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	response, where, err := d.response(r)
	if err != nil {
		return err
	}
	for name := range r.Header {
		if !isDescribed(response, name) {
			return fmt.Errorf("%s: the header %s is not described", where, name)
		}
	}
	for name, h := range at(response, "headers") {
		ref, _ := h.(map[string]any)["$ref"].(string)
		header := at(d.tree, "components", "headers", ref[strings.LastIndex(ref, "/")+1:])
		if header["required"] == true && r.Header.Get(name) == "" {
			return fmt.Errorf("%s: there is no header %s", where, name)
		}
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	content := at(response, "content")
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%s: a body is not described", where)
		}
		return nil
	}
	key := media
	if _, ok := content[media]; !ok {
		key = "*/*"
	}
	if _, ok := content[key]; !ok {
		return fmt.Errorf("%s: Content-Type %q is not described", where, media)
	}
	if r.Request.Method == http.MethodHead || !strings.Contains(media, "json") || r.Header.Get("Content-Encoding") != "" {
		return nil
	}
	return d.validate(where+"/content/"+escape(key)+"/schema", body)
}

// response returns the described response and its JSON pointer. Errors of paths and methods
// that the document does not have are checked as errors of a path that has every error.
func (d *Document) response(r *http.Response) (map[string]any, string, error) {
	for _, p := range d.paths {
		if !p.matches.MatchString(r.Request.URL.EscapedPath()) {
			continue
		}
		method := strings.ToLower(r.Request.Method)
		if method == "head" {
			method = "get"
		}
		operation := at(d.tree, "paths", p.name, method)
		if operation == nil {
			break // the path has no such method
		}
		status := fmt.Sprint(r.StatusCode)
		where := "/paths/" + escape(p.name) + "/" + method + "/responses/" + status
		response := at(operation, "responses", status)
		if response == nil {
			return nil, where, fmt.Errorf("%s %s: the status %s is not described", r.Request.Method, p.name, status)
		}
		return response, where, nil
	}
	if r.StatusCode < 400 {
		return nil, "", fmt.Errorf("%s %s is not described, and returned %d", r.Request.Method, r.Request.URL.Path, r.StatusCode)
	}
	const path, status = "/v1/agents", "400"
	return at(d.tree, "paths", path, "get", "responses", status), "/paths/" + escape(path) + "/get/responses/" + status, nil
}

// standardHeaders may be in any response without a description.
var standardHeaders = map[string]bool{
	"Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Date": true,
	"Connection": true, "Allow": true, "Content-Security-Policy": true, "X-Content-Type-Options": true, "Referrer-Policy": true,
}

func isDescribed(response map[string]any, header string) bool {
	if standardHeaders[header] || strings.HasPrefix(header, "Access-Control-") {
		return true
	}
	for described := range at(response, "headers") {
		if http.CanonicalHeaderKey(described) == header {
			return true
		}
	}
	return false
}

// escape escapes a member name for a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (d *Document) validate(pointer string, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", pointer, err)
	}
	schema, err := d.schema(pointer)
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %w", pointer, err)
	}
	return nil
}

func (d *Document) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema, ok := d.schemas[pointer]; ok {
		return schema, nil
	}
	schema, err := d.compiler.Compile(location + "#" + pointer)
	if err == nil {
		d.schemas[pointer] = schema
	}
	return schema, err
}

// Fetch reads the document of the gateway at base.
func Fetch(client *http.Client, base string) (*Document, error) {
	resp, err := client.Get(base + "/openapi.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /openapi.json returned %d", resp.StatusCode)
	}
	return Parse(data)
}

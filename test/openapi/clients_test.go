// Package openapi holds /openapi.json and /docs against those who use them: a linter,
// generators of clients, a browser, and requests made of the document itself.
package openapi

import (
	"embed"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/demo"
	"github.com/agentgw/agentgw/test/node"
)

const root = "../.."

//go:embed testdata
var testdata embed.FS

// oapiCodegen makes the Go client.
const oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

func put(t *testing.T, folder, name, as string) {
	t.Helper()
	data, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	node.Write(t, folder, as, data)
}

// fetch puts the gateway's document into a folder.
func fetch(t *testing.T, folder, base string) {
	t.Helper()
	resp, err := http.Get(base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	node.Write(t, folder, "openapi.json", data)
}

func TestLint(t *testing.T) {
	folder := node.Folder(t)
	fetch(t, folder, demo.Start(t, root).API)
	node.Write(t, folder, ".spectral.json", []byte(`{"extends": ["spectral:oas"]}`))
	t.Log(node.Run(t, folder, nil, "node_modules/.bin/spectral", "lint", "--fail-severity=hint", "openapi.json"))
}

// TestTypeScriptClient: the client compiles without a complaint, and walks the API.
func TestTypeScriptClient(t *testing.T) {
	folder, running := node.Folder(t), demo.Start(t, root)
	fetch(t, folder, running.API)
	node.Run(t, folder, nil, "node_modules/.bin/openapi-typescript", "openapi.json", "--output", "api.d.ts")
	put(t, folder, "walk.ts", "walk.ts")
	node.Run(t, folder, nil, "node_modules/.bin/tsc", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--skipLibCheck", "walk.ts")
	out := node.Run(t, folder, []string{"KEY=" + running.Key}, "node", "walk.js", running.API)
	if !strings.Contains(out, "18 agents") {
		t.Errorf("it saw %s", out)
	}
}

// TestGoClient: the same of a client in Go. What it needs is fetched by the go command.
func TestGoClient(t *testing.T) {
	folder, running := t.TempDir(), demo.Start(t, root)
	fetch(t, folder, running.API)
	node.Write(t, folder, "go.mod", []byte("module client\n\ngo 1.26\n\nrequire github.com/oapi-codegen/runtime v1.8.0\n"))
	node.Run(t, folder, nil, "go", "run", oapiCodegen, "-generate", "types,client", "-package", "main", "-o", "client.gen.go", "openapi.json")
	put(t, folder, "walk.go.txt", "walk.go")
	node.Run(t, folder, nil, "go", "mod", "tidy")
	node.Run(t, folder, nil, "go", "vet", ".")
	out := node.Run(t, folder, []string{"KEY=" + running.Key}, "go", "run", ".", running.API)
	if !strings.Contains(out, "18 agents") {
		t.Errorf("it saw %s", out)
	}
}

// TestDocsPage: it loads without a complaint of the browser, from this gateway alone, and
// what is tried there is done.
func TestDocsPage(t *testing.T) {
	folder, browser, running := node.Folder(t), node.Browser(t), demo.Start(t, root)
	put(t, folder, "docs.mjs", "docs.mjs")
	out := node.Run(t, folder, []string{"KEY=" + running.Key}, "node", "docs.mjs", running.API, browser, filepath.Join(node.Pictures(t), "docs.png"))
	if !strings.Contains(out, "18 agents") {
		t.Errorf("it saw %s", out)
	}
}

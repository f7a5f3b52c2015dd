// Package openapi tests /openapi.json with the tools that consume it: a linter, client
// generators for TypeScript, Go and Python, and requests generated from its schemas.
package openapi

import (
	"embed"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/internal/demotest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

//go:embed testdata
var testdata embed.FS

// put writes a file of testdata into a folder, under another name.
func put(t *testing.T, folder, name, as string) {
	t.Helper()
	data, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	npmtest.Write(t, folder, as, data)
}

// fetch writes the document of the gateway at base into a folder.
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
	npmtest.Write(t, folder, "openapi.json", data)
}

// TestLint tests that Spectral finds nothing in the document, not even a hint.
func TestLint(t *testing.T) {
	folder := npmtest.Folder(t)
	fetch(t, folder, demotest.Start(t).API)
	npmtest.Write(t, folder, ".spectral.json", []byte(`{"extends": ["spectral:oas"]}`))
	t.Log(npmtest.Run(t, folder, nil, "node_modules/.bin/spectral", "lint", "--fail-severity=hint", "openapi.json"))
}

// TestTypeScriptClient tests that a generated TypeScript client compiles in strict mode and
// can list agents.
func TestTypeScriptClient(t *testing.T) {
	folder, running := npmtest.Folder(t), demotest.Start(t)
	fetch(t, folder, running.API)
	npmtest.Run(t, folder, nil, "node_modules/.bin/openapi-typescript", "openapi.json", "--output", "api.d.ts")
	put(t, folder, "walk.ts", "walk.ts")
	npmtest.Run(t, folder, nil, "node_modules/.bin/tsc", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--skipLibCheck", "walk.ts")
	out := npmtest.Run(t, folder, []string{"KEY=" + running.Key}, "node", "walk.js", running.API)
	if !strings.Contains(out, "18 agents") {
		t.Errorf("the client printed %s", out)
	}
}

// TestGoClient tests that a generated Go client compiles, passes go vet, and can list agents.
func TestGoClient(t *testing.T) {
	folder, running := t.TempDir(), demotest.Start(t)
	fetch(t, folder, running.API)
	npmtest.Run(t, folder, nil, prebuilt.Path(t, prebuilt.OAPICodegen), "-generate", "types,client", "-package", "main", "-o", "client.gen.go", "openapi.json")
	put(t, folder, "go.mod.txt", "go.mod")
	put(t, folder, "go.sum.txt", "go.sum")
	put(t, folder, "walk.go.txt", "walk.go")
	npmtest.Run(t, folder, nil, "go", "vet", ".")
	out := npmtest.Run(t, folder, []string{"KEY=" + running.Key}, "go", "run", ".", running.API)
	if !strings.Contains(out, "18 agents") {
		t.Errorf("the client printed %s", out)
	}
}

// TestPythonClient tests that every module of a generated Python client can be imported, and
// every operation called.
func TestPythonClient(t *testing.T) {
	npmtest.Need(t, "python3")
	python := prebuilt.Path(t, prebuilt.PythonClient)
	folder, running := t.TempDir(), demotest.Start(t)
	fetch(t, folder, running.API)
	npmtest.Write(t, folder, "config.yaml", []byte("post_hooks: []\n")) // they format the code
	npmtest.Run(t, folder, nil, python, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none", "--output-path", "client", "--config", "config.yaml")
	put(t, folder, "walk.py", "walk.py")
	out := npmtest.Run(t, folder, []string{"KEY=" + running.Key}, python, "walk.py", running.API)
	if !strings.Contains(out, "18 agents") {
		t.Errorf("the client printed %s", out)
	}
}

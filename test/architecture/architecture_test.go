// Package architecture tests rules of the source tree: which package may import which, which
// library versions are too old, and what the program links.
package architecture

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/agentgw/agentgw"

// pkg is a package of `go list`.
type pkg struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Doc          string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports,Doc", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// rules say which packages of the project a package may import. A * matches one folder.
var rules = []struct {
	pkg string
	may []string
	why string
}{
	{module, nil, "files of the root folder"},
	{"normalize", nil, "the model is pure"},
	{"config/secret", nil, "a leaf"},
	{"config", []string{"config/secret", "normalize"}, "the configuration is told which providers there are"},
	{"adapters", []string{"normalize", "config/secret"}, "the contract knows no vendor and no gateway"},
	{"adapters/wire", []string{"adapters", "normalize"}, "pieces of decoders"},
	{"adapters/upstream", []string{"adapters", "normalize"}, "HTTP, and nothing around it"},
	{"adapters/all", []string{"adapters", "adapters/*", "sandbox", "sandbox/*"}, "the one list of vendors"},
	{"adapters/*", []string{"adapters", "adapters/wire", "normalize"}, "an adapter knows its vendor and nothing else"},
	{"sandbox", nil, "written from the vendors' documentation with the standard library"},
	{"sandbox/*", []string{"sandbox"}, "an emulator never shares a mistake with its adapter"},
	{"gateway/apikey", nil, "a leaf"},
	{"gateway/payload", nil, "encoded bodies, whatever their content"},
	{"gateway/negotiate", []string{"gateway/payload"}, "headers of a request, whatever is asked for"},
	{"gateway/catalog", []string{"adapters", "config/secret", "gateway/payload", "normalize"}, "pure: it knows neither callers nor HTTP"},
	{"gateway/openapi", []string{"adapters", "normalize"}, "the API as a document, of whatever routes there are"},
	{"gateway/docsite", []string{"gateway/payload"}, "pages, whatever the API is"},
	{"gateway/store", nil, "the only package that knows SQL; what it stores is opaque to it"},
	{"gateway/store/idempotency", []string{"gateway/store"}, "it knows neither HTTP nor what a request does"},
	{"gateway/migration/plan", []string{"adapters", "normalize"}, "pure: it knows neither HTTP nor the store"},
	{"gateway/telemetry", []string{"gateway/journal"}, "it records events, and not how they come about"},
	{"gateway/journal", nil, "it stores outcomes and does not know what a request means"},
	{"gateway/console", []string{"gateway/journal"}, "a page, of whatever state it is told"},
	{"gateway/internal/digest", nil, "a leaf"},
	{"gateway/limit", nil, "it does not know who the names are"},
	{"gateway/problem", []string{"adapters", "normalize"}, "the codes and policies of failures, below everything that fails"},
	{"gateway/backend", []string{"adapters", "adapters/upstream", "config", "gateway/catalog", "gateway/journal", "gateway/limit", "gateway/problem", "gateway/telemetry", "normalize"}, "it knows neither callers nor HTTP requests to the gateway"},
	{"gateway/cache", []string{"adapters", "config", "gateway/backend", "gateway/internal/digest", "gateway/journal", "gateway/problem", "gateway/telemetry", "normalize"}, "a middleware of a backend; it knows no caller"},
	{"gateway/auth", []string{"adapters", "config", "gateway/apikey", "gateway/backend", "gateway/internal/digest", "gateway/limit", "gateway/problem", "normalize"}, "it finds callers; reading keys from requests is the API's"},
	{"gateway/alias", []string{"adapters", "gateway/auth", "gateway/backend", "gateway/problem", "gateway/store", "normalize"}, "it resolves names and knows no use case"},
	{"gateway/placement", []string{"adapters", "gateway/auth", "gateway/problem", "normalize"}, "where an agent is created; it calls no backend"},
	{"gateway/agents", []string{"adapters", "config", "gateway/alias", "gateway/auth", "gateway/backend", "gateway/catalog", "gateway/internal/digest", "gateway/journal", "gateway/limit", "gateway/payload", "gateway/placement", "gateway/problem", "gateway/store", "gateway/store/idempotency", "gateway/telemetry", "normalize"}, "use cases, without HTTP"},
	{"gateway/migration", []string{"adapters", "config/secret", "gateway/agents", "gateway/alias", "gateway/auth", "gateway/backend", "gateway/catalog", "gateway/migration/plan", "gateway/problem", "gateway/store", "gateway/telemetry", "normalize"}, "steps of a migration, without HTTP"},
	{"gateway/listener", []string{"config", "gateway/telemetry"}, "connections, whatever they carry"},
	{"gateway/api", []string{"adapters", "config", "gateway/agents", "gateway/alias", "gateway/auth", "gateway/backend", "gateway/catalog", "gateway/docsite", "gateway/journal", "gateway/limit", "gateway/listener", "gateway/migration", "gateway/migration/plan", "gateway/negotiate", "gateway/openapi", "gateway/payload", "gateway/problem", "gateway/store", "gateway/telemetry", "normalize"}, "HTTP; it does not read the cache or call backends"},
	{"gateway/admin", []string{"gateway/apikey", "gateway/console", "gateway/journal", "gateway/migration", "gateway/migration/plan", "gateway/store"}, "operators; it knows the gateway by an interface of its own"},
	{"gateway", []string{"adapters", "config", "gateway/*", "gateway/migration/plan", "normalize"}, "it assembles and knows no provider"},
	{"cmd/agentgw", []string{module, "adapters", "adapters/all", "cmd/agentgw/*", "config", "gateway", "gateway/*", "gateway/migration/plan", "normalize", "sandbox"}, "the command line assembles"},
	{"cmd/agentgw/cli", nil, "it knows how commands run, not what they do"},
	{"cmd/agentgw/migratecli", []string{"adapters", "adapters/all", "cmd/agentgw/cli", "cmd/agentgw/migratecli/client", "gateway/migration/plan", "normalize"}, "a client of the API; the gateway itself stays out"},
	{"cmd/agentgw/migratecli/client", []string{"cmd/agentgw/cli", "config", "gateway/migration/plan"}, "HTTP to a gateway; it knows no command"},
	{"internal/*", []string{"internal/*"}, "support of tests, of this package and of others"},
	{"test/lossless", []string{"adapters", "config/secret", "normalize"}, "tests of any vendor"},
	{"test/conformance", []string{"adapters", "adapters/upstream", "config/secret", "internal/*", "normalize", "sandbox"}, "tests of any vendor"},
	{"test/internal/gatewaytest", []string{"adapters/all", "config", "gateway", "gateway/*", "internal/*", "sandbox"}, "it assembles a gateway and knows no vendor"},
	{"test/internal/*", []string{"test/internal/*"}, "support of suites, whatever they test"},
	{"test/internal/*/*", []string{"test/internal/*"}, "programs that make runs"},
	{"test/bench/*", []string{"adapters/all", "sandbox"}, "programs that a benchmark runs"},
	{"test/*", []string{"adapters", "adapters/all", "config", "gateway", "gateway/*", "gateway/migration/plan", "internal/*", "normalize", "sandbox", "test/faults", "test/internal/*"}, "tests of the whole"},
}

// TestImports_FollowTheRules tests each package against the first rule that matches it.
func TestImports_FollowTheRules(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		rule := -1
		for i, r := range rules {
			if matches(r.pkg, name) {
				rule = i
				break
			}
		}
		if rule < 0 {
			t.Errorf("%s has no rule; add one to this test, with its reason", name)
			continue
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours && imported != module {
				continue
			}
			if !anyMatches(rules[rule].may, other) {
				t.Errorf("%s imports %s: %s", name, other, rules[rule].why)
			}
		}
	}
}

func matches(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return err == nil && ok
}

func anyMatches(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// TestImports_Sandbox tests that emulators import the standard library only. One that shared a
// decoder with the gateway would share its mistakes.
func TestImports_Sandbox(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if name != "sandbox" && !strings.HasPrefix(name, "sandbox/") {
			continue
		}
		for _, imported := range append(p.Imports, p.TestImports...) {
			if strings.Contains(strings.Split(imported, "/")[0], ".") && !strings.HasPrefix(imported, module+"/sandbox") {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

// TestImports_Fiber tests that only the public API imports Fiber and fasthttp.
func TestImports_Fiber(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, module+"/test/bench/") { // the programs that the gateway is measured against
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imported := range parsed.Imports {
				path, _ := strconv.Unquote(imported.Path.Value)
				http := strings.HasPrefix(path, "github.com/gofiber/fiber") || strings.HasPrefix(path, "github.com/valyala/fasthttp")
				if http && p.ImportPath != module+"/gateway/api" {
					t.Errorf("%s/%s imports %s", p.ImportPath, file, path)
				}
			}
		}
	}
}

func TestPackages_HaveComments(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestProviders_AreNotNamed tests that shared code names no provider: a difference between
// providers is data in their adapters.Info.
func TestProviders_AreNotNamed(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if name != "gateway" && name != "normalize" && name != "adapters" && name != "adapters/wire" && name != "adapters/upstream" && name != "config" {
			continue
		}
		for _, file := range p.GoFiles {
			source, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, vendor := range []string{"klen", "agenthuman", "krosai", "talkifai"} {
				if strings.Contains(string(source), `"`+vendor+`"`) {
					t.Errorf("%s/%s has the word %q in its code", name, file, vendor)
				}
			}
		}
	}
}

// floors are the lowest versions of libraries without a known fault.
var floors = map[string]struct{ version, why string }{
	"github.com/gofiber/fiber/v2":  {"v2.52.15", "CVE-2025-48075, -54801, -66630, CVE-2026-25882, -42554"},
	"github.com/valyala/fasthttp":  {"v1.72.0", "request smuggling up to 1.71, TLS verification; fiber alone asks for 1.51"},
	"go.opentelemetry.io/otel":     {"v1.44.0", "baggage parsing, OTLP memory"},
	"go.opentelemetry.io/otel/sdk": {"v1.44.0", "baggage parsing, OTLP memory"},
	"google.golang.org/grpc":       {"v1.82.1", "HPACK crash; or absent"},
	"github.com/sony/gobreaker/v2": {"v2.4.0", "IsExcluded, rolling buckets"},
}

func TestVersions_HaveNoKnownFault(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, version, _ := strings.Cut(line, " ")
		floor, ok := floors[path]
		if !ok {
			continue
		}
		seen[path] = true
		if older(version, floor.version) {
			t.Errorf("%s %s is below %s: %s", path, version, floor.version, floor.why)
		}
	}
	for path := range floors {
		if !seen[path] && path != "google.golang.org/grpc" {
			t.Errorf("%s is not among the modules; is its floor still needed?", path)
		}
	}
	gomod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(gomod), "github.com/valyala/fasthttp v") {
		t.Error("go.mod does not name fasthttp itself")
	}
}

// older compares versions of the form v1.2.3.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

// TestPackages_AreSmall: a reader can take in a package and a file.
func TestPackages_AreSmall(t *testing.T) {
	const maxPackage, maxFile = 2500, 400 // lines that are not tests
	for _, p := range packages(t) {
		total := 0
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Count(string(text), "\n")
			if total += lines; lines > maxFile {
				t.Errorf("%s/%s has %d lines, more than %d", p.ImportPath, name, lines, maxFile)
			}
		}
		if total > maxPackage {
			t.Errorf("%s has %d lines, more than %d: cut it where its subjects part", p.ImportPath, total, maxPackage)
		}
	}
}

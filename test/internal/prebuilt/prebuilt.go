// Package prebuilt finds the programs that tests run. `make test` builds them before it
// runs a test, so that no test competes with a compiler. A test that is run without make
// builds what is missing itself.
package prebuilt

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Variable is the environment variable that holds the folder in which make has built
// agentgw. Tools that do not change with the sources are in the user's cache instead.
const Variable = "TEST_PROGRAMS"

// Path returns the path that find returns, and fails the test if there is an error.
func Path(t testing.TB, find func() (string, error)) string {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Agentgw returns the path of agentgw, built as `make build` builds it but without a
// version.
var Agentgw = sync.OnceValues(func() (string, error) {
	if folder := os.Getenv(Variable); folder != "" {
		path := filepath.Join(folder, "agentgw")
		_, err := os.Stat(path)
		return path, err
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	folder, err := Cache()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(folder, fmt.Sprintf("agentgw-%.8x", sha256.Sum256([]byte(root))))
	return filepath.Join(folder, "agentgw"), BuildAgentgw(folder)
})

// LinkerDump returns the path of what the linker printed about agentgw: each function that
// is linked, and what leads to it.
func LinkerDump() (string, error) {
	path, err := Agentgw()
	return path + ".links", err
}

var tags = regexp.MustCompile(`(?m)^TAGS\s*:=\s*(.*)$`)

// BuildAgentgw builds agentgw and its linker dump into a folder. Another process may do
// the same at the same time.
func BuildAgentgw(folder string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	m := tags.FindSubmatch(makefile)
	if m == nil {
		return fmt.Errorf("the Makefile has no TAGS")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	build, err := os.MkdirTemp(folder, "build-") // the linker prints nothing if its output is up to date
	if err != nil {
		return err
	}
	defer os.RemoveAll(build)
	dump, err := run(root, nil, "go", "build", "-trimpath", "-tags", string(m[1]), "-ldflags", "-s -w -dumpdep", "-o", filepath.Join(build, "agentgw"), "./cmd/agentgw")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(build, "agentgw.links"), dump, 0o644); err != nil {
		return err
	}
	for _, name := range []string{"agentgw", "agentgw.links"} {
		if err := os.Rename(filepath.Join(build, name), filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// Root returns the folder of the module.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}

// Cache returns the folder of the user's cache in which tools are kept. Each is named by
// the version or hash of what it is made of.
func Cache() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "agentgw-tests")
	return cache, os.MkdirAll(cache, 0o755)
}

// collectorBuilder is the OpenTelemetry project's program that generates a collector.
const collectorBuilder = "go.opentelemetry.io/collector/cmd/builder@v0.162.0"

//go:embed collector-builder.yaml
var collectorManifest []byte

// Collector returns the path of an OpenTelemetry Collector.
var Collector = sync.OnceValues(func() (string, error) {
	return cached(fmt.Sprintf("collector-%.16x", sha256.Sum256(collectorManifest)), func(folder string) error {
		if err := os.WriteFile(filepath.Join(folder, "builder.yaml"), collectorManifest, 0o644); err != nil {
			return err
		}
		if _, err := run(folder, nil, "go", "run", collectorBuilder, "--config", "builder.yaml", "--skip-compilation"); err != nil {
			return err
		}
		_, err := run(folder, []string{"GOGC=400"}, "go", "build", "-o", "program", ".")
		return err
	})
})

const oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
const oapiCodegenVersion = "v2.8.2"

// OAPICodegen returns the path of oapi-codegen, which generates Go clients.
var OAPICodegen = sync.OnceValues(func() (string, error) {
	return cached("oapi-codegen-"+oapiCodegenVersion, func(folder string) error {
		if _, err := run(folder, []string{"GOBIN=" + folder}, "go", "install", oapiCodegen+"@"+oapiCodegenVersion); err != nil {
			return err
		}
		return os.Rename(filepath.Join(folder, "oapi-codegen"), filepath.Join(folder, "program"))
	})
})

//go:embed python-requirements.txt
var pythonRequirements []byte

// PythonClient returns the path of a Python interpreter that has openapi-python-client, which
// generates Python clients, and what its clients import.
var PythonClient = sync.OnceValues(func() (string, error) {
	environment, err := cached(fmt.Sprintf("python-%.16x", sha256.Sum256(pythonRequirements)), func(folder string) error {
		if err := os.WriteFile(filepath.Join(folder, "requirements.txt"), pythonRequirements, 0o644); err != nil {
			return err
		}
		if _, err := run(folder, nil, "python3", "-m", "venv", "program"); err != nil {
			return err
		}
		_, err := run(folder, nil, "program/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
		return err
	})
	return filepath.Join(environment, "bin", "python"), err
})

// cached returns the path of a program in the cache. If it is not there, build makes it, as
// "program" in a folder that it is given.
func cached(name string, build func(folder string) error) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	folder, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	if err := build(folder); err != nil {
		return "", err
	}
	// Renamed last, so that whoever finds it finds all of it.
	return path, os.Rename(filepath.Join(folder, "program"), path)
}

func run(folder string, env []string, command ...string) ([]byte, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return out, nil
}

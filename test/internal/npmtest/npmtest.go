// Package npmtest runs tools from npm in tests: a linter, a client generator, a browser
// driver. package-lock.json pins them; each lock file is installed once.
package npmtest

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

//go:embed package.json
var manifest []byte

//go:embed package-lock.json
var lock []byte

// Folder returns a new temporary folder whose scripts can import the modules. Without
// Node.js the test is skipped, or fails if CI is set.
func Folder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	linkModules(t, folder, manifest, lock)
	Write(t, folder, "package.json", manifest)
	return folder
}

// Copy returns a temporary copy of a folder that has its own package.json and
// package-lock.json, with the modules that they name.
func Copy(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	tracked := Run(t, source, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	for _, name := range strings.Fields(tracked) {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		Write(t, folder, name, data)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	linkModules(t, folder, read("package.json"), read("package-lock.json"))
	return folder
}

// linkModules gives a folder the modules of a lock file.
func linkModules(t *testing.T, folder string, manifest, lock []byte) {
	t.Helper()
	Need(t, "node")
	Need(t, "npm")
	modules, err := install(manifest, lock)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
}

// Pictures returns the folder for screenshots: $PICTURES, or a temporary folder.
func Pictures(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("PICTURES")
	if folder == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Browser returns the path of Chromium. Without it the test is skipped, or fails if CI is
// set.
func Browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Need(t, "chromium")
	return ""
}

// Need skips the test if a tool is missing, or fails it if CI is set.
func Need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("there is no %s", tool)
	}
	t.Skipf("there is no %s on this machine", tool)
}

// install runs npm ci for a lock file, once, into a folder of the cache that is named by its
// hash. Another process may do the same at the same time.
func install(manifest, lock []byte) (string, error) {
	cache, err := prebuilt.Cache()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, fmt.Sprintf("npm-%.16x", sha256.Sum256(lock)))
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err == nil {
		return folder, nil
	}
	build, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(build)
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(build, name), data, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = build
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(build, folder); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(filepath.Join(folder, "node_modules")); there != nil {
			return "", err
		}
	}
	return folder, nil
}

// InstallAll installs the modules of this package and those of each folder.
func InstallAll(folders ...string) error {
	if _, err := install(manifest, lock); err != nil {
		return err
	}
	for _, folder := range folders {
		manifest, err := os.ReadFile(filepath.Join(folder, "package.json"))
		if err != nil {
			return err
		}
		lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
		if err != nil {
			return err
		}
		if _, err := install(manifest, lock); err != nil {
			return err
		}
	}
	return nil
}

// Write writes a file into a folder.
func Write(t *testing.T, folder, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Run runs a command in a folder and returns its output. A command that fails, fails the
// test.
func Run(t *testing.T, folder string, env []string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

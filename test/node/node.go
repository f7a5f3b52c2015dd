// Package node runs npm's tools in tests: a linter, a generator of clients, a browser's
// driver. What is installed is in package-lock.json, and installed once for each.
package node

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
)

//go:embed package.json
var manifest []byte

//go:embed package-lock.json
var lock []byte

// Folder is a new folder, until the test ends, whose scripts find the modules. A machine
// without Node.js skips the test, unless CI is set.
func Folder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	give(t, folder, manifest, lock)
	Write(t, folder, "package.json", manifest)
	return folder
}

// Copy is a copy of a folder that has a package.json and a package-lock.json of its own,
// until the test ends, with the modules that they say.
func Copy(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	ofGit := Run(t, source, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	for _, name := range strings.Fields(ofGit) {
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
	give(t, folder, read("package.json"), read("package-lock.json"))
	return folder
}

// give has a folder find the modules of a lock file.
func give(t *testing.T, folder string, manifest, lock []byte) {
	t.Helper()
	need(t, "node")
	need(t, "npm")
	if err := os.Symlink(filepath.Join(install(t, manifest, lock), "node_modules"), filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
}

// Pictures is where what a browser shows is kept: $PICTURES, or a folder that ends with
// the test.
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

// Browser is where Chromium is. A machine without it skips the test, unless CI is set.
func Browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	need(t, "chromium")
	return ""
}

func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("there is no %s", tool)
	}
	t.Skipf("there is no %s on this machine", tool)
}

// install has npm install what the lock file says, into a folder of the user's cache
// that is the lock file's own. Others may do the same at the same time.
func install(t *testing.T, manifest, lock []byte) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "agentgw-tests")
	folder := filepath.Join(cache, fmt.Sprintf("npm-%.16x", sha256.Sum256(lock)))
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err == nil {
		return folder
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	Write(t, fresh, "package.json", manifest)
	Write(t, fresh, "package-lock.json", lock)
	Run(t, fresh, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	if err := os.Rename(fresh, folder); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(filepath.Join(folder, "node_modules")); there != nil {
			t.Fatal(err)
		}
	}
	_ = os.RemoveAll(fresh) // where another one was first
	return folder
}

// Write puts a file into a folder.
func Write(t *testing.T, folder, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Run runs a command in a folder, and fails the test if that fails.
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

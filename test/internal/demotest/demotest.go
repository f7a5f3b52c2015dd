// Package demotest runs `agentgw demo`, for tests of what readers of the documentation and
// clients of the API see there.
package demotest

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"

	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

// Demo is a running demo, on free ports.
type Demo struct {
	API   string // "http://127.0.0.1:41234"
	Admin string
	Key   string
	stop  func()
}

// Stop ends the demo before the test ends.
func (d Demo) Stop() { d.stop() }

// printed are the lines that name the addresses and the key.
var printed = map[string]*regexp.Regexp{
	"api":   regexp.MustCompile(`agents +(http://\S+)/v1/agents`),
	"admin": regexp.MustCompile(`metrics +(http://\S+)/metrics`),
	"key":   regexp.MustCompile(`key +(agw_\S+)`),
}

// Start starts a demo with further flags. It ends with the test.
func Start(t *testing.T, flags ...string) Demo {
	t.Helper()
	cmd := exec.Command(prebuilt.Path(t, prebuilt.Agentgw), append([]string{"demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, flags...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := Demo{stop: sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})}
	t.Cleanup(d.stop)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := printed["api"].FindStringSubmatch(lines.Text()); m != nil {
			d.API = m[1]
		}
		if m := printed["admin"].FindStringSubmatch(lines.Text()); m != nil {
			d.Admin = m[1]
		}
		if m := printed["key"].FindStringSubmatch(lines.Text()); m != nil {
			d.Key = m[1]
			go func() { // the demo must not wait for a reader of the rest
				for lines.Scan() {
				}
			}()
			return d
		}
	}
	t.Fatal("the demo ended before it printed its addresses and its key")
	return d
}

// Package demo runs `agentgw demo` as its reader would, for tests of what is shown
// there.
package demo

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
)

// Demo is a running demo, on ports that were free.
type Demo struct {
	API   string // "http://127.0.0.1:41234"
	Admin string
	Key   string
	stop  func()
}

// Stop ends it before the test does.
func (d Demo) Stop() { d.stop() }

var said = map[string]*regexp.Regexp{
	"api":   regexp.MustCompile(`agents +(http://\S+)/v1/agents`),
	"admin": regexp.MustCompile(`metrics +(http://\S+)/metrics`),
	"key":   regexp.MustCompile(`key +(agw_\S+)`),
}

// Start starts it, in the folder of the project that is named, until the test ends.
func Start(t *testing.T, root string, flags ...string) Demo {
	t.Helper()
	cmd := exec.Command("go", append([]string{"run", "./cmd/agentgw", "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, flags...)...)
	cmd.Dir = root
	// go run passes no signal on, so the group is what ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := Demo{stop: sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
	})}
	t.Cleanup(d.stop)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := said["api"].FindStringSubmatch(lines.Text()); m != nil {
			d.API = m[1]
		}
		if m := said["admin"].FindStringSubmatch(lines.Text()); m != nil {
			d.Admin = m[1]
		}
		if m := said["key"].FindStringSubmatch(lines.Text()); m != nil {
			d.Key = m[1]
			go func() { // the rest of what it prints
				for lines.Scan() {
				}
			}()
			return d
		}
	}
	t.Fatal("the demo did not say where it listens")
	return d
}

// Package demo runs `agentgw demo` as its reader would, for tests of what is shown
// there.
package demo

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// Demo is a running demo, on ports that were free.
type Demo struct {
	API string // "http://127.0.0.1:41234"
	Key string
}

var said = map[string]*regexp.Regexp{
	"api": regexp.MustCompile(`agents +(http://\S+)/v1/agents`),
	"key": regexp.MustCompile(`key +(agw_\S+)`),
}

// Start starts it, in the folder of the project that is named, until the test ends.
func Start(t *testing.T, root string) Demo {
	t.Helper()
	cmd := exec.Command("go", "run", "./cmd/agentgw", "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
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
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
	})
	d := Demo{}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := said["api"].FindStringSubmatch(lines.Text()); m != nil {
			d.API = m[1]
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

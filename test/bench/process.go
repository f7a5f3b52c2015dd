package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a running program.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // of its output
}

// run starts a program. Its standard output can be read by line, or its standard error, if
// stderr is set. The other one goes to the terminal.
func run(stderr bool, environ []string, program string, arguments ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, arguments...)}
	folder, err := os.MkdirTemp(filepath.Dir(program), "run-") // for its files
	if err != nil {
		return nil, err
	}
	p.cmd.Dir = folder
	p.cmd.Env = append(os.Environ(), environ...)
	var out io.ReadCloser
	if stderr {
		out, err = p.cmd.StderrPipe()
	} else {
		p.cmd.Stderr = os.Stderr
		out, err = p.cmd.StdoutPipe()
	}
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	return p, nil
}

// line returns the next line that contains with.
func (p *process) line(with string) (string, error) {
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), with) {
			return p.lines.Text(), nil
		}
	}
	return "", fmt.Errorf("%s ended before it printed %q", filepath.Base(p.cmd.Path), with)
}

// drain reads the rest of the output, so that the program never waits for a reader.
func (p *process) drain() {
	go func() {
		for p.lines.Scan() {
		}
	}()
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// tick is the unit of CPU time in /proc (USER_HZ, 100 on Linux).
const tick = 10 * time.Millisecond

// cpu returns the user and system time that the process has used (proc(5), stat).
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field, the name in brackets, may contain anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * tick, nil
}

// memory returns the resident memory in bytes (proc(5), status).
func (p *process) memory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", p.cmd.Process.Pid)
}

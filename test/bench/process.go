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

// process is a program that runs.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // what it prints
}

// run starts a program that prints where it listens; its other output goes to the
// terminal if it is not the one that is read.
func run(errorsToo bool, environ []string, program string, arguments ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, arguments...)}
	folder, err := os.MkdirTemp(filepath.Dir(program), "run-") // for what it keeps
	if err != nil {
		return nil, err
	}
	p.cmd.Dir = folder
	p.cmd.Env = append(os.Environ(), environ...)
	var out io.ReadCloser
	if errorsToo {
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

// line is the next that it prints and that has this in it.
func (p *process) line(with string) (string, error) {
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), with) {
			return p.lines.Text(), nil
		}
	}
	return "", fmt.Errorf("%s ended before it said %q", filepath.Base(p.cmd.Path), with)
}

// drain reads the rest of what it prints, so that it never waits for a reader.
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

// tick is what /proc counts CPU time in (USER_HZ, 100 on Linux).
const tick = 10 * time.Millisecond

// cpu is the user and system time that it has used (proc(5), stat).
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field, the name in brackets, may hold anything.
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

// memory is its resident memory in bytes (proc(5), status).
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
	return 0, fmt.Errorf("/proc says nothing of the memory of %d", p.cmd.Process.Pid)
}

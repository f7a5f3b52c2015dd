// Command vuln reports the known vulnerabilities of agentgw's dependencies. It fails if the
// program can reach one in a module. Those of the standard library are printed only: a build
// with a newer Go mends them.
//
// It needs no network but the module proxy: the advisories come with the module
// golang.org/x/vulndb, whose data govulncheck reads from a directory.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

const govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"

func main() {
	version := flag.String("db", "latest", "version of the module golang.org/x/vulndb, which has the advisories")
	flag.Parse()
	reachable, err := run(*version, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "vuln:", err)
		os.Exit(1)
	}
	if reachable > 0 {
		fmt.Fprintf(os.Stderr, "vuln: %d advisories for modules can be reached; update the modules\n", reachable)
		os.Exit(1)
	}
}

// run scans packages and returns the number of advisories for modules that they can reach.
func run(version string, packages []string) (reachable int, err error) {
	folder, err := os.MkdirTemp("", "vuln")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	var db struct{ Dir, Version string }
	described, err := command("go", "mod", "download", "-json", "golang.org/x/vulndb@"+version)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(described, &db); err != nil {
		return 0, err
	}
	index := filepath.Join(folder, "db")
	if _, err := command("go", "run", "golang.org/x/vulndb/cmd/indexdb@"+db.Version, "-vulns", filepath.Join(db.Dir, "data", "osv"), "-out", index); err != nil {
		return 0, err
	}
	output, err := command("go", append([]string{"run", govulncheck, "-db", "file://" + index, "-format", "json"}, packages...)...)
	if err != nil {
		return 0, err
	}
	found, err := decode(output)
	if err != nil {
		return 0, err
	}
	fmt.Printf("advisories of %s\n", db.Version)
	for _, f := range slices.SortedFunc(maps.Keys(found), func(a, b advisory) int { return bytes.Compare([]byte(a.Module+a.ID), []byte(b.Module+b.ID)) }) {
		use := "required, and not reached"
		if found[f] {
			use = "REACHED"
			if f.Module != "stdlib" {
				reachable++
			}
		}
		fmt.Printf("%s  %s %s, fixed in %s: %s\n", f.ID, f.Module, f.Version, f.Fixed, use)
	}
	return reachable, nil
}

// advisory is a known vulnerability of a module.
type advisory struct{ ID, Module, Version, Fixed string }

// decode returns the advisories in the output of govulncheck, and whether a function with the
// vulnerability can be reached.
func decode(output []byte) (map[advisory]bool, error) {
	found := map[advisory]bool{}
	scanned := false
	for d := json.NewDecoder(bytes.NewReader(output)); ; {
		var message struct {
			SBOM    *struct{} `json:"SBOM"`
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct {
					Module, Version, Function string
				} `json:"trace"`
			} `json:"finding"`
		}
		err := d.Decode(&message)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		scanned = scanned || message.SBOM != nil
		if f := message.Finding; f != nil && len(f.Trace) > 0 {
			a := advisory{f.OSV, f.Trace[0].Module, f.Trace[0].Version, f.Fixed}
			found[a] = found[a] || f.Trace[0].Function != ""
		}
	}
	if !scanned {
		return nil, errors.New("govulncheck scanned nothing")
	}
	return found, nil
}

// command runs a command and returns its output. The flags of this build do not apply to the
// tools, which are other modules.
func command(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w", name, args, err)
	}
	return output, nil
}

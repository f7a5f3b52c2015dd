package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences recognises a licence by a phrase, the more specific one first.
var licences = []struct{ name, phrase string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License"},
	{"BSD-3-Clause", "may be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software"},
}

// legal matches the files of a module that a distribution must repeat.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`)

// component is a part of the binary with a licence of its own.
type component struct {
	name  string
	files []string // paths
}

// TestNotice tests that NOTICE has the licence of everything that the binary contains. With
// -update it writes the file. It fails for a licence that nobody has looked at.
func TestNotice(t *testing.T) {
	var b strings.Builder
	b.WriteString("agentgw\nCopyright 2026 The agentgw authors\n\nLicensed under the Apache License, Version 2.0; see the file LICENSE.\n\n")
	b.WriteString("The binary contains the software below. The source of each module is at the address that\nits name is, in the version named. `make docs` writes this file.\n\n")
	var texts []string
	named := map[string][]string{} // by the words of a text
	for _, c := range components(t) {
		text := ""
		for _, file := range c.files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += strings.TrimSpace(strings.ReplaceAll(string(content), "\r\n", "\n")) + "\n"
		}
		name := licencesIn(text + c.name)
		if name == "" {
			t.Errorf("%s has a licence that this test does not know: %v", c.name, c.files)
		}
		fmt.Fprintf(&b, "  %s: %s\n", c.name, name)
		words := strings.Join(strings.Fields(text), " ") // copies differ in their indentation
		if len(named[words]) == 0 {
			texts = append(texts, text)
		}
		named[words] = append(named[words], c.name)
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s", strings.Repeat("=", 80), strings.Join(named[strings.Join(strings.Fields(text), " ")], "\n"), text)
	}
	path := filepath.Join(root, "NOTICE")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != b.String() {
		t.Errorf("NOTICE is out of date; run make docs: %v", err)
	}
}

// licencesIn returns the names of the licences that a text contains, or ends with the name of.
func licencesIn(text string) string {
	words := strings.Join(strings.Fields(text), " ")
	var names []string
	for _, l := range licences {
		shorter := l.name == "BSD-2-Clause" && slices.Contains(names, "BSD-3-Clause") // the longer one contains it
		if !shorter && (strings.Contains(words, l.phrase) || strings.HasSuffix(words, l.name)) {
			names = append(names, l.name)
		}
	}
	return strings.Join(names, " AND ")
}

// components returns the modules that the binary contains, the Go standard library, and the
// parts of its pages that come from npm.
func components(t *testing.T) []component {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=Module", "-tags", "grpcnotrace", "./cmd/agentgw")
	cmd.Dir = root
	// One platform, so that NOTICE is the same wherever it is written.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type module struct {
		Path, Version, Dir string
		Main               bool
	}
	modules := map[string]module{}
	for d := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = *p.Module
		}
	}
	var all []component
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		m := modules[path]
		c := component{name: m.Path + " " + m.Version}
		entries, err := os.ReadDir(m.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if legal.MatchString(e.Name()) && !e.IsDir() {
				c.files = append(c.files, filepath.Join(m.Dir, e.Name()))
			}
		}
		if m.Path == "golang.org/x/sys" { // the same text, whichever Go builds it
			all = append(all, component{"the Go standard library", c.files})
		}
		all = append(all, c)
	}
	embedded, err := filepath.Glob("testdata/licenses/*")
	if err != nil || len(embedded) == 0 {
		t.Fatal("no licences of what comes from npm", err)
	}
	for _, file := range embedded {
		all = append(all, component{filepath.Base(file), []string{file}})
	}
	return all
}

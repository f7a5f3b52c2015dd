package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
)

// configFlag is how commands name their file.
type configFlag struct {
	Config string
}

const defaultConfig = "config.yaml"

func (f *configFlag) define(c *cobra.Command, a *app) {
	c.Flags().StringVar(&f.Config, "config", cmp.Or(a.getenv(config.PathVariable), defaultConfig), "The configuration `FILE`, also "+config.PathVariable+".")
	if err := c.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic(err) // it was defined a line ago
	}
}

func (f configFlag) source(a *app) config.Source {
	return config.Source{Path: fullPath(f.Config), Environ: a.environ, Providers: all.Names()}
}

type configCheck struct {
	configFlag
	JSON bool
}

func newConfigCheck(a *app) *cobra.Command {
	var f configCheck
	c := newCommand("check", "Report everything that is wrong; secret references are resolved too.", cobra.NoArgs, func([]string) error { return f.run(a) })
	f.define(c, a)
	jsonFlag(c, &f.JSON)
	return c
}

type problemJSON struct {
	Path    string `json:"path"`
	Origin  string `json:"origin"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

func toJSON(problems []config.Problem) []problemJSON {
	list := []problemJSON{}
	for _, p := range problems {
		list = append(list, problemJSON{strings.Join(p.Path, "."), p.Origin, p.Line, p.Message})
	}
	return list
}

func (c *configCheck) run(a *app) error {
	loaded, err := config.Load(c.source(a))
	problems, isProblems := errors.AsType[config.Problems](err)
	if err != nil && !isProblems { // the file itself
		problems = config.Problems{{Origin: fullPath(c.Config), Message: err.Error()}}
	}
	if c.JSON {
		var warnings []config.Problem
		if loaded != nil {
			warnings = loaded.Warnings
		}
		report := map[string]any{"ok": err == nil, "problems": toJSON(problems), "warnings": toJSON(warnings)}
		if err := json.NewEncoder(a.stdout).Encode(report); err != nil {
			return err
		}
	}
	if err != nil {
		return configError(err)
	}
	if c.JSON {
		return nil
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintf(a.stdout, "warning: %s\n", w)
	}
	fmt.Fprintf(a.stdout, "%s is good: %s, %s\n", fullPath(c.Config), count(len(loaded.Backends), "backend"), count(len(loaded.Keys), "key"))
	return nil
}

// configError puts a report of several lines under one that counts them.
func configError(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	return fmt.Errorf("the configuration has %s:\n  %s", count(len(problems), "problem"), strings.ReplaceAll(problems.Error(), "\n", "\n  "))
}

// count is "1 backend", "2 backends".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newConfigSchema(a *app) *cobra.Command {
	return newCommand("schema", "Print the JSON Schema.", cobra.NoArgs, func([]string) error {
		schema, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", schema)
		return err
	})
}

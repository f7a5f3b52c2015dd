package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
)

// configFlag is the --config flag.
type configFlag struct {
	Path string
}

const defaultConfig = "config.yaml"

func (f *configFlag) define(c *cobra.Command, a *cli.App) {
	c.Flags().StringVar(&f.Path, "config", cmp.Or(a.Getenv(config.PathVariable), defaultConfig), "The configuration `FILE`; also set by "+config.PathVariable+".")
	if err := c.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic(err) // the flag is defined above
	}
}

func (f configFlag) source(a *cli.App) config.Source {
	return config.Source{Path: cli.AbsolutePath(f.Path), Environ: a.Environ, Providers: all.Names()}
}

// newConfigInit returns `agentgw config init`.
func newConfigInit(a *cli.App) *cobra.Command {
	var f configFlag
	c := cli.NewCommand("init", "Create a configuration file that explains every setting.", cli.NoArgs, func([]string) error { return f.init(a) })
	f.define(c, a)
	return c
}

func (f configFlag) init(a *cli.App) error {
	path := cli.AbsolutePath(f.Path)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it may get secrets
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; nothing was changed. Set another path with --config, or remove the file first", path)
	}
	if err != nil {
		return err
	}
	if _, err := file.Write(agentgw.ConfigFile); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, `Created %s.

Next:
  1. Keep the backends that you use.
  2. agentgw keys new --id NAME    prints a key, and the YAML to add under "keys:".
     Set the variables that it names to your accounts' credentials.
  3. agentgw config check          reports every problem.
  4. agentgw backends --probe      sends one request to each provider.
  5. agentgw serve                 runs the gateway.
`, path)
	return err
}

// configCheck is `agentgw config check`.
type configCheck struct {
	configFlag
	JSON bool
}

func newConfigCheck(a *cli.App) *cobra.Command {
	var f configCheck
	c := cli.NewCommand("check", "Report all problems of the configuration. Resolves secret references too.", cli.NoArgs, func([]string) error { return f.run(a) })
	f.define(c, a)
	cli.JSONFlag(c, &f.JSON)
	return c
}

func (c *configCheck) run(a *cli.App) error {
	loaded, err := config.Load(c.source(a))
	if c.JSON {
		if err := c.printJSON(a, loaded, err); err != nil {
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
		fmt.Fprintf(a.Stdout, "warning: %s\n", w)
	}
	_, err = fmt.Fprintf(a.Stdout, "%s is valid: %s, %s\n", cli.AbsolutePath(c.Path), cli.Count(len(loaded.Backends), "backend"), cli.Count(len(loaded.Keys), "key"))
	return err
}

// printJSON prints the result of config.Load. loaded is nil if loadErr is not.
func (c *configCheck) printJSON(a *cli.App, loaded *config.Config, loadErr error) error {
	problems, ok := errors.AsType[config.Problems](loadErr)
	if loadErr != nil && !ok { // the file cannot be read
		problems = config.Problems{{Origin: cli.AbsolutePath(c.Path), Message: loadErr.Error()}}
	}
	var warnings []config.Problem
	if loaded != nil {
		warnings = loaded.Warnings
	}
	return a.PrintJSONLine(map[string]any{"ok": loadErr == nil, "problems": toProblemJSON(problems), "warnings": toProblemJSON(warnings)})
}

type problemJSON struct {
	Path    string `json:"path"`
	Origin  string `json:"origin"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

func toProblemJSON(problems []config.Problem) []problemJSON {
	list := []problemJSON{}
	for _, p := range problems {
		list = append(list, problemJSON{strings.Join(p.Path, "."), p.Origin, p.Line, p.Message})
	}
	return list
}

// configError adds a headline with the number of problems.
func configError(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	return fmt.Errorf("the configuration has %s:\n  %s", cli.Count(len(problems), "problem"), strings.ReplaceAll(problems.Error(), "\n", "\n  "))
}

func newConfigSchema(a *cli.App) *cobra.Command {
	return cli.NewCommand("schema", "Print the JSON Schema.", cli.NoArgs, func([]string) error {
		schema, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s\n", schema)
		return err
	})
}

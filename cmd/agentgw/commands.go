package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newRoot is the tree of commands.
func newRoot(a *app) *cobra.Command {
	cobra.EnableCommandSorting = false // they are in the order of their use
	root := newGroup("agentgw", "One /v1/agents API over several agent vendors.",
		newServe(a),
		newDemo(a),
		newGroup("keys", "Make gateway keys.", newKeysNew(a)),
		newGroup("config", "Check the configuration, or print its JSON Schema.", newConfigCheck(a), newConfigSchema(a)),
		newBackends(a),
		newMigrate(a),
		newVersion(a),
	)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		asGroup(completion) // it shows its help for a shell that there is not, too
	}
	// Flags are read before it is known that a command is not there.
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if words := c.Flags().Args(); c.HasSubCommands() && len(words) > 0 {
			return noCommand(c, words[0])
		}
		return err
	})
	// run says what is wrong, and of what the help is to be read.
	root.SilenceErrors, root.SilenceUsage = true, true
	showVersion := root.Flags().Bool("version", false, "Print the version and exit.")
	alone := root.RunE
	root.RunE = func(_ *cobra.Command, args []string) error {
		if *showVersion {
			return printVersion(a)
		}
		return alone(root, args)
	}
	return root
}

// newCommand is a command that does something with its arguments, of which args says what
// they may be.
func newCommand(use, short string, args cobra.PositionalArgs, do func(args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			if err := swallowed(c); err != nil {
				return err
			}
			if err := do(args); err != nil {
				return failure{err}
			}
			return nil
		},
	}
	c.Flags().SortFlags = false
	return c
}

// newGroup is a command that only leads to others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short}
	group.AddCommand(commands...)
	asGroup(group)
	return group
}

// asGroup has a command say what is missing or wrong when none of its commands is named.
func asGroup(group *cobra.Command) {
	group.DisableFlagsInUseLine = true
	group.Args = func(group *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return noCommand(group, args[0])
	}
	group.RunE = func(group *cobra.Command, _ []string) error {
		var names []string
		for _, c := range group.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return fmt.Errorf("name a command of %s: %s", group.CommandPath(), strings.Join(names, ", "))
	}
}

// noCommand says that a group has no such command, and which may have been meant.
func noCommand(group *cobra.Command, name string) error {
	group.SuggestionsMinimumDistance = 2 // letters that differ
	meant := ""
	if near := group.SuggestionsFor(name); len(near) > 0 {
		meant = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s has no command %q%s", group.CommandPath(), name, meant)
}

// newHelp is "help COMMAND", which cobra's own shows of another command where there is none.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command.", DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return noCommand(c, rest[0])
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// swallowed is the error of a flag whose value was forgotten, so that the next flag was
// taken for it.
func swallowed(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if strings.HasPrefix(v, "--") {
				err = fmt.Errorf("--%s has no value: %s follows it", f.Name, v)
			}
		}
	})
	return err
}

// given are a flag's values without the empty ones: "a," is "a".
func given(values []string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// fullPath is a file's path from the root on, so that messages say where it was looked for;
// "~/" is the user's home, which shells do not see to in "--config=~/x" nor in a variable.
func fullPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, rest)
		}
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// first is the first argument, "" if there is none.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// jsonFlag is of commands that print JSON when asked to.
func jsonFlag(c *cobra.Command, value *bool) {
	c.Flags().BoolVar(value, "json", false, "Print JSON.")
}

// required are flags without which the command is not run.
func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // there is no such flag; any use of the program would show it
		}
	}
}

// choices has the shell propose them as values of a flag.
func choices(c *cobra.Command, flag string, of []string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // as above
	}
}

// oneOf says what is wrong with a flag's value that is none of a few.
func oneOf(flag, value string, of []string) error {
	if slices.Contains(of, value) {
		return nil
	}
	return usageError{fmt.Errorf("--%s %q: want one of %s", flag, value, strings.Join(of, ", "))}
}

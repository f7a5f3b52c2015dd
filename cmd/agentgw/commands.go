package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
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
	// run says what is wrong, and of what the help is to be read.
	root.SilenceErrors, root.SilenceUsage = true, true
	showVersion := root.Flags().Bool("version", false, "Print the version and exit.")
	noCommand := root.RunE
	root.RunE = func(_ *cobra.Command, args []string) error {
		if *showVersion {
			return printVersion(a)
		}
		return noCommand(root, args)
	}
	return root
}

// newCommand is a command that does something with its arguments, of which args says what
// they may be.
func newCommand(use, short string, args cobra.PositionalArgs, do func(args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: args, DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
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
	group := &cobra.Command{
		Use: use, Short: short, SuggestionsMinimumDistance: 2,
		Args: func(group *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			meant := ""
			if near := group.SuggestionsFor(args[0]); len(near) > 0 {
				meant = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return fmt.Errorf("%s has no command %q%s", group.CommandPath(), args[0], meant)
		},
		RunE: func(group *cobra.Command, _ []string) error {
			var names []string
			for _, c := range group.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return fmt.Errorf("name a command of %s: %s", group.CommandPath(), strings.Join(names, ", "))
		},
	}
	group.AddCommand(commands...)
	return group
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

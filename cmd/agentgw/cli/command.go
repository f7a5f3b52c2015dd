package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// NewCommand returns a command that calls run with its positional arguments. args checks
// their number.
func NewCommand(use, short string, args cobra.PositionalArgs, run func(args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			if err := missingValue(c); err != nil {
				return err
			}
			if err := run(args); err != nil {
				return commandError{err}
			}
			return nil
		},
	}
	c.Flags().SortFlags = false
	return c
}

// NewGroup returns a command that consists of subcommands.
func NewGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short}
	group.AddCommand(commands...)
	RequireSubcommand(group)
	return group
}

// RequireSubcommand makes a group fail if no subcommand, or an unknown one, is given.
func RequireSubcommand(group *cobra.Command) {
	group.DisableFlagsInUseLine = true
	group.Args = func(group *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return UnknownCommand(group, args[0])
	}
	group.RunE = func(group *cobra.Command, _ []string) error {
		var names []string
		for _, c := range group.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return fmt.Errorf("missing command; want one of %s", strings.Join(names, ", "))
	}
}

// UnknownCommand returns the error for an unknown subcommand, with suggestions.
func UnknownCommand(group *cobra.Command, name string) error {
	group.SuggestionsMinimumDistance = 2 // edit distance
	suggestion := ""
	if near := group.SuggestionsFor(name); len(near) > 0 {
		suggestion = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %s%s", name, group.CommandPath(), suggestion)
}

// missingValue reports a flag without a value, which took the next flag as its value.
func missingValue(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if strings.HasPrefix(v, "--") {
				err = fmt.Errorf("--%s needs a value, but is followed by %s", f.Name, v)
			}
		}
	})
	return err
}

// NoArgs refuses positional arguments.
func NoArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if c.Flags().Lookup("config") != nil {
		hint = "; to name a configuration file, use --config " + args[0]
	}
	return fmt.Errorf("%s takes no arguments, got %q%s", c.CommandPath(), args[0], hint)
}

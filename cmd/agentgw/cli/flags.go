package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// JSONFlag defines --json.
func JSONFlag(c *cobra.Command, value *bool) {
	c.Flags().BoolVar(value, "json", false, "Print JSON.")
}

// RequireFlags makes flags mandatory.
func RequireFlags(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // the flag is not defined: a programming mistake
		}
	}
}

// CompleteValues makes shell completion propose the values of a flag.
func CompleteValues(c *cobra.Command, flag string, values []string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not defined: a programming mistake
	}
}

// CheckValue returns a usage error if the value of a flag is not one of the allowed ones.
func CheckValue(flag, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return UsageErrorf("--%s %q: want one of %s", flag, value, strings.Join(allowed, ", "))
}

// NonEmpty returns the values of a flag without empty ones: "a," means "a".
func NonEmpty(values []string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// First returns the first argument, or "" if there is none.
func First(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// FlagError rewords errors of the flag parser that quote Go's number parsers.
func FlagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	f := invalid.GetFlag()
	want := map[string]string{"int": "an integer", "float64": "a number", "bool": "true or false"}[f.Value.Type()]
	if want == "" {
		return err
	}
	return UsageErrorf("--%s %q: want %s", f.Name, invalid.GetValue(), want)
}

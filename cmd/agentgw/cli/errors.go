package cli

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes of every command.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Error is an error with an exit code of its own.
type Error struct {
	Err  error
	Code int
}

// Error returns the text of the underlying error.
func (e Error) Error() string { return e.Err.Error() }

// Unwrap returns the underlying error.
func (e Error) Unwrap() error { return e.Err }

// UsageErrorf returns an error about the command line, with exit code 2.
func UsageErrorf(format string, args ...any) error {
	return Error{fmt.Errorf(format, args...), ExitUsage}
}

// ExitCode returns the exit code for an error that a command returned.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[Error](err); ok {
		return e.Code
	}
	return ExitFailed
}

// commandError wraps the errors that a command returns. Cobra's own errors, which are about
// the command line, do not have this type.
type commandError struct{ error }

func (e commandError) Unwrap() error { return e.error }

// IsUsage reports whether cobra itself returned err, because of the command line.
func IsUsage(err error) bool {
	_, ok := errors.AsType[commandError](err)
	return err != nil && !ok
}

// UsageText returns the text of an error about the command line. It rewords what cobra says of
// missing flags.
func UsageText(err error) string {
	names, ok := strings.CutPrefix(err.Error(), "required flag(s) ")
	if !ok {
		return err.Error()
	}
	names = strings.TrimSuffix(names, " not set")
	return "missing --" + strings.ReplaceAll(strings.ReplaceAll(names, `", "`, " and --"), `"`, "")
}

package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Confirm asks whether to go on, after a description of what will happen. Without a terminal
// to ask on, it returns a usage error that names the flag yesFlag.
func (a *App) Confirm(description, yesFlag string) error {
	fmt.Fprintln(a.Stderr, description)
	if !IsTerminal(a.Stdin) {
		return UsageErrorf("not confirmed: nothing was changed; add %s, or run the command on a terminal", yesFlag)
	}
	fmt.Fprint(a.Stderr, "Continue? [y/N] ")
	answer, _ := bufio.NewReader(a.Stdin).ReadString('\n') // end of input means no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fmt.Errorf("not confirmed: nothing was changed")
}

package faults

import (
	"fmt"
	"strings"
)

// Markdown is the table as docs/reliability.md shows it, and how many cells of it
// are run.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| fault | single read | source of a list | write | requests: read, write | breaker | stale instead |\n|---|---|---|---|---|---|---|\n")
	rows := Faults()
	for _, f := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d, %d | %s | %s |\n",
			f.Name, said(f.Read), f.List.Code, said(f.Write), f.Read.Requests, f.Write.Requests, f.breakers(), f.Stale)
	}
	fmt.Fprintf(&b, "\n%d faults × %d operations × %d states of the cache: %d cells.\n", len(rows), len(Operations), len(States), len(rows)*len(Operations)*len(States))
	return b.String()
}

func said(o Outcome) string {
	if o.Code == "" {
		return fmt.Sprint(o.Status)
	}
	return fmt.Sprintf("%d `%s`", o.Status, o.Code)
}

// breakers is the breaker's verdict, with those of other operations where they
// differ.
func (f Fault) breakers() string {
	text := string(f.Breaker)
	if f.ListBreaker != "" {
		text += fmt.Sprintf(" (list: %s)", f.ListBreaker)
	}
	if f.WriteBreaker != "" {
		text += fmt.Sprintf(" (write: %s)", f.WriteBreaker)
	}
	return text
}

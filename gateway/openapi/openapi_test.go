package openapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/normalize"
)

// TestWhatEveryCreateNeeds: the document asks for a name because all providers do, and
// for nothing else because not all do.
func TestWhatEveryCreateNeeds(t *testing.T) {
	for _, f := range normalize.AllFields() {
		needed := 0
		creating := 0
		for _, p := range all.Providers() {
			if !p.Info.Supports(adapters.OpCreate) {
				continue
			}
			creating++
			if slices.Contains(p.Info.Rule(f).RequiredFor, adapters.Always) {
				needed++
			}
		}
		if (needed == creating) != (f == normalize.FieldName) {
			t.Errorf("%s is needed by %d of %d", f, needed, creating)
		}
	}
}

// TestEveryFieldIsExplained: fields, and the groups that they are in.
func TestEveryFieldIsExplained(t *testing.T) {
	for _, f := range normalize.AllFields() {
		if fieldTexts[f] == "" {
			t.Errorf("nothing is said of %s", f)
		}
		if group, _, nested := strings.Cut(f.Name(), "."); nested && groupTexts[group] == "" {
			t.Errorf("nothing is said of %s", group)
		}
	}
}

// TestMistakesInTheCodeAreErrors: a route, a parameter or a code that nothing is said
// of, and what is said of no route.
func TestMistakesInTheCodeAreErrors(t *testing.T) {
	whole := func() Input {
		in := Input{Orders: []string{"name"}}
		for _, p := range all.Providers() {
			in.Providers = append(in.Providers, p.Info)
		}
		codes := append(slices.Clone(always), open...)
		for name, o := range operations {
			method, path, _ := strings.Cut(name, " ")
			in.Routes = append(in.Routes, Route{Method: method, Path: path})
			codes = append(codes, o.codes...)
		}
		for _, c := range codes {
			in.Codes = append(in.Codes, Code{Code: c, Status: 400})
		}
		return in
	}
	if _, err := Build(whole()); err != nil {
		t.Fatal(err)
	}
	f := func(want string, change func(*Input)) {
		t.Helper()
		in := whole()
		change(&in)
		if _, err := Build(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("nothing is said of GET /new", func(in *Input) { in.Routes = append(in.Routes, Route{Method: "GET", Path: "/new"}) })
	f("is described, and is no route", func(in *Input) { in.Routes = in.Routes[1:] })
	f("nothing is said of the parameter x", func(in *Input) { in.Routes[0].Query = []string{"x"} })
	f("which there is not", func(in *Input) { in.Codes = nil })
}

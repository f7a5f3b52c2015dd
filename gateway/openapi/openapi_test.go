package openapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/normalize"
)

// TestAgentCreate_RequiredFields: the document requires a name because all providers do, and
// nothing else because not all do.
func TestAgentCreate_RequiredFields(t *testing.T) {
	for _, f := range normalize.AllFields() {
		required := 0
		creating := 0
		for _, p := range all.Providers() {
			if !p.Info.Supports(adapters.OpCreate) {
				continue
			}
			creating++
			if slices.Contains(p.Info.Rule(f).RequiredFor, adapters.Always) {
				required++
			}
		}
		if (required == creating) != (f == normalize.FieldName) {
			t.Errorf("%s is required by %d of %d providers", f, required, creating)
		}
	}
}

// TestDescriptions_Fields: every field and every group has a description.
func TestDescriptions_Fields(t *testing.T) {
	for _, f := range normalize.AllFields() {
		if fieldDescriptions[f] == "" {
			t.Errorf("%s has no description", f)
		}
		if group, _, nested := strings.Cut(f.Name(), "."); nested && groupDescriptions[group] == "" {
			t.Errorf("%s has no description", group)
		}
	}
}

// TestBuild_IncompleteDescriptions: a route, parameter or code without a description is an
// error, and so is a description without a route.
func TestBuild_IncompleteDescriptions(t *testing.T) {
	whole := func() Input {
		in := Input{Orders: []string{"name"}}
		for _, p := range all.Providers() {
			in.Providers = append(in.Providers, p.Info)
		}
		codes := append(slices.Clone(commonCodes), publicCodes...)
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
	f("GET /new has no description", func(in *Input) { in.Routes = append(in.Routes, Route{Method: "GET", Path: "/new"}) })
	f("has a description but is not a route", func(in *Input) { in.Routes = in.Routes[1:] })
	f("the query parameter x has no description", func(in *Input) { in.Routes[0].Query = []string{"x"} })
	f("which does not exist", func(in *Input) { in.Codes = nil })
}

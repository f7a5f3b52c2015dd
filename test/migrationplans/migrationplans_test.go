// Package migrationplans tests that no migration plan forgets a value of its source:
// every value in a provider sample appears in exactly one finding.
package migrationplans

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config/secret"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/normalize"
)

// sample is an agent as a provider's page shows it: in its list, and by itself where that
// shows something else.
type sample struct {
	provider, list, get string // files of the adapter's testdata
}

var samples = []sample{
	{"klen", "list.json", ""},
	{"klen", "list_unassigned.json", ""},
	{"agenthuman", "list.json", "get.json"},
	{"agenthuman", "list_no_voice.json", "get.json"},
	{"agenthuman", "", "current/agent.json"},
	{"krosai", "", "get.json"},
	{"krosai", "", "get_doc_types.json"},
	{"talkifai", "", "get.json"},
	{"talkifai", "", "endpoint_pages/get.json"},
}

// targets are the providers that can create, and their architectures.
var targets = []struct{ provider, architecture string }{
	{"agenthuman", ""}, {"krosai", ""}, {"talkifai", "pipeline"}, {"talkifai", "realtime"}, {"talkifai", "text"},
}

func provider(t *testing.T, name string) adapters.Provider {
	t.Helper()
	for _, p := range all.Providers() {
		if p.Info.Provider == name {
			return p
		}
	}
	t.Fatalf("there is no provider %s", name)
	return adapters.Provider{}
}

// answering is the provider's adapter before a backend that answers so.
func answering(p adapters.Provider, body []byte) adapters.Adapter {
	return p.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
		return req.Receive(adapters.Response{Status: 200, Body: bytes.Clone(body)})
	}})
}

var credential = adapters.NewCredential(secret.New("credential"))

// read is the sample's first agent in full view, by what the provider answers to its list
// and to its get.
func read(p adapters.Provider, list, get []byte) (*normalize.Agent, error) {
	var row, detail *normalize.Agent
	if list != nil {
		listing, err := answering(p, list).List(context.Background(), credential)
		if err != nil {
			return nil, err
		}
		if len(listing.Agents) == 0 {
			return nil, fmt.Errorf("no agent")
		}
		row = listing.Agents[0]
	}
	if get != nil {
		var err error
		if detail, err = answering(p, get).Get(context.Background(), credential, "1"); err != nil {
			return nil, err
		}
	}
	switch {
	case detail == nil:
		row.View = normalize.ViewFull
		return row, nil
	case row == nil:
		return detail, nil
	}
	return normalize.Join(detail, row), nil
}

func file(t *testing.T, provider, name string) []byte {
	t.Helper()
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join("../../adapters", provider, "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// covering are the findings that speak of a pointer.
func covering(findings []migrate.Finding, pointer string) (paths []string) {
	for _, f := range findings {
		if f.Path == pointer || strings.HasPrefix(pointer, f.Path+"/") || strings.HasPrefix(f.Path, pointer+"/") && pointer != "" {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// TestPlan_EveryValueIsInOneFinding changes each value of each sample, sees which value of
// the agent that is, and looks for it in the plan.
func TestPlan_EveryValueIsInOneFinding(t *testing.T) {
	checked := 0
	for _, s := range samples {
		p := provider(t, s.provider)
		list, get := file(t, s.provider, s.list), file(t, s.provider, s.get)
		agent, err := read(p, list, get)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		for _, to := range targets {
			name := fmt.Sprintf("%s %s%s to %s %s", s.provider, s.list, s.get, to.provider, to.architecture)
			target := provider(t, to.provider)
			plan := func(a *normalize.Agent) []migrate.Finding {
				made, wrong := migrate.Make(a, p.Info, target.Info, migrate.Options{Architecture: to.architecture})
				if len(wrong) > 0 {
					t.Fatalf("%s: %v", name, wrong)
				}
				seen := map[string]bool{}
				for _, f := range made.Findings {
					if seen[f.Path] || f.Message == "" || f.Kind == "" || f.Severity == "" {
						t.Errorf("%s: %+v", name, f)
					}
					seen[f.Path] = true
				}
				return made.Findings
			}
			for pointer := range encoded(t, agent) {
				if f, ok := normalize.FieldByName(strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")); ok && agent.Unavailable.Has(f) {
					continue // the provider has no such thing
				}
				if unavailableGroup(agent, pointer) {
					continue
				}
				if paths := covering(plan(agent), pointer); len(paths) != 1 && pointer != "/extensions" {
					t.Errorf("%s: %s of the agent is in %v", name, pointer, paths)
				}
			}
			for _, from := range []struct {
				body []byte
				raw  jsontext.Value
				read func(body []byte) (*normalize.Agent, error)
			}{
				{list, agent.RawList, func(body []byte) (*normalize.Agent, error) { return read(p, body, get) }},
				{get, agent.RawDetail, func(body []byte) (*normalize.Agent, error) { return read(p, list, body) }},
			} {
				if from.body == nil {
					continue
				}
				if !bytes.Contains(from.body, from.raw) {
					t.Fatalf("%s: the agent is not in its sample as it is kept", name)
				}
				for pointer, value := range leaves(t, from.raw) {
					checked++
					where, findings := []string(nil), []migrate.Finding(nil)
					for _, other := range others(value) {
						body := bytes.Replace(from.body, from.raw, with(t, from.raw, pointer, other), 1)
						another, err := from.read(body)
						if err != nil {
							continue
						}
						if where = changed(t, agent, another); len(where) > 0 {
							findings = plan(another)
							break
						}
					}
					if len(where) == 0 && bytes.Equal(from.body, list) && get != nil {
						// What the get says too is the get's to say; alone, the row says it.
						where, findings = rowAlone(t, p, list, from.raw, pointer, value), plan(agent)
					}
					if len(where) == 0 {
						t.Errorf("%s: nothing of the agent is %s", name, pointer)
						continue
					}
					in := map[string]bool{}
					for _, w := range where {
						for _, path := range covering(findings, w) {
							in[path] = true
						}
					}
					if len(in) != 1 {
						t.Errorf("%s: %s (which is %v) is in %d findings: %v", name, pointer, where, len(in), in)
					}
				}
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d pointers were looked at", checked)
	}
	t.Logf("%d pointers of payloads, each in one finding", checked)
}

// unavailableGroup: a group that is null as a whole stands for its leaves.
func unavailableGroup(a *normalize.Agent, pointer string) bool {
	name := strings.TrimPrefix(pointer, "/")
	all, has := true, false
	for _, f := range normalize.AllFields() {
		if strings.HasPrefix(f.Name(), name+".") {
			has = true
			all = all && a.Unavailable.Has(f)
		}
	}
	return has && all
}

// rowAlone is what a value of the list's row is where there is no get.
func rowAlone(t *testing.T, p adapters.Provider, list []byte, raw jsontext.Value, pointer string, value jsontext.Value) []string {
	t.Helper()
	before, err := read(p, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range others(value) {
		after, err := read(p, bytes.Replace(list, raw, with(t, raw, pointer, other), 1), nil)
		if err != nil {
			continue
		}
		if where := changed(t, before, after); len(where) > 0 {
			return where
		}
	}
	return nil
}

// TestPlan_PairsOfProviders logs a table of what each pair of providers keeps and loses.
func TestPlan_PairsOfProviders(t *testing.T) {
	var lines []string
	for _, s := range samples {
		if s.list == "list_unassigned.json" || s.list == "list_no_voice.json" || s.get == "get_doc_types.json" {
			continue
		}
		p := provider(t, s.provider)
		agent, err := read(p, file(t, s.provider, s.list), file(t, s.provider, s.get))
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range targets {
			plan, _ := migrate.Make(agent, p.Info, provider(t, to.provider).Info, migrate.Options{Architecture: to.architecture})
			c := plan.Count()
			lines = append(lines, fmt.Sprintf("%-10s %-24s → %-10s %-8s  exact %2d  approximate %d  manual %d  needs_input %d  lost %2d  not_migrated %2d  %s",
				s.provider, s.list+" "+s.get, to.provider, to.architecture, c[migrate.Exact], c[migrate.Approximate], c[migrate.Manual], c[migrate.NeedsInput], c[migrate.Unsupported], c[migrate.NotMigrated], plan.State()))
			if sum := c[migrate.Exact] + c[migrate.Approximate] + c[migrate.Manual] + c[migrate.NeedsInput] + c[migrate.Unsupported] + c[migrate.NotMigrated]; sum != len(plan.Findings) {
				t.Errorf("%s: %d of %d findings are of a known kind", s.provider, sum, len(plan.Findings))
			}
		}
	}
	sort.Strings(lines)
	t.Log("\n" + strings.Join(lines, "\n"))
}

package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// vendorColumns begins a table that has a column for each provider.
func vendorColumns(b *strings.Builder) {
	b.WriteString("|")
	for _, v := range all.Entries() {
		fmt.Fprintf(b, " | %s", v.Info.Provider)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(all.Entries())) + "|\n")
}

func capabilities() string {
	var b strings.Builder
	vendorColumns(&b)
	for _, op := range adapters.Operations() {
		fmt.Fprintf(&b, "| **%s**", op)
		for _, v := range all.Entries() {
			fmt.Fprintf(&b, " | %s", v.Info.Operations[op])
		}
		b.WriteString(" |\n")
	}
	for _, f := range normalize.AllFields() {
		if !normalize.Optional.Has(f) {
			continue
		}
		fmt.Fprintf(&b, "| `%s`", f.Name())
		for _, v := range all.Entries() {
			fmt.Fprintf(&b, " | %s", backend.FieldCell(v.Info, f))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// filters says in which view a list can be filtered or ordered by a field.
func filters() string {
	var b strings.Builder
	vendorColumns(&b)
	fields := catalog.FilterFields()
	for _, name := range catalog.OrderNames() {
		f, _ := normalize.FieldByName(name)
		fields = append(fields, f)
	}
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s`", f.Name())
		for _, v := range all.Entries() {
			cell := "–"
			switch view := backend.FieldViewOf(v.Info, f); {
			case view.List:
				cell = "yes"
			case view.Get:
				cell = "`view=full`"
			}
			b.WriteString(" | " + cell)
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

func limits() string {
	var b strings.Builder
	b.WriteString("| provider | field | rule |\n|---|---|---|\n")
	for _, v := range all.Entries() {
		for _, f := range normalize.AllFields() {
			if text := v.Info.Rule(f).Limit.String(); text != "" {
				fmt.Fprintf(&b, "| %s | `%s` | %s |\n", v.Info.Provider, f.Name(), text)
			}
		}
	}
	return b.String()
}

func extensions() string {
	var b strings.Builder
	b.WriteString("| provider | name | type | create | update | rule |\n|---|---|---|---|---|---|\n")
	for _, v := range all.Entries() {
		for _, e := range v.Info.Extensions {
			yes := map[bool]string{true: "yes", false: "–"}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", v.Info.Provider, e.Name, e.Type,
				yes[e.In&adapters.InCreate != 0], yes[e.In&adapters.InUpdate != 0], e.Limit)
		}
	}
	return b.String()
}

// required says what each provider needs and takes in a create, by architecture.
func required() string {
	var b strings.Builder
	b.WriteString("| provider | agent | requires | also accepts |\n|---|---|---|---|\n")
	for _, v := range all.Entries() {
		if !v.Info.Supports(adapters.OpCreate) {
			fmt.Fprintf(&b, "| %s | | cannot create | |\n", v.Info.Provider)
			continue
		}
		architectures := v.Info.Rule(normalize.FieldArchitecture).Limit.OneOf
		if len(architectures) == 0 {
			architectures = []string{"any"}
		}
		for _, a := range architectures {
			var needs, takes []string
			for _, f := range normalize.AllFields() {
				name := "`" + f.Name() + "`"
				switch rule := v.Info.Rule(f); {
				case slices.Contains(rule.RequiredFor, adapters.Always) || slices.Contains(rule.RequiredFor, a):
					needs = append(needs, name)
				case v.Info.Creates(f):
					takes = append(takes, name)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.Info.Provider, a, strings.Join(needs, ", "), strings.Join(takes, ", "))
		}
	}
	return b.String()
}

// errorCodes lists the cause and the fix of each code, with an example of a response.
func errorCodes(t *testing.T) string {
	var examples map[string]json.RawMessage
	if err := json.Unmarshal([]byte(read(t, "gateway/openapi/examples.json")), &examples); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range problem.Codes() {
		again := ""
		if c.Retryable {
			again = " The same request may succeed later."
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%d. %s.\n\n**Cause.** %s\n\n**Fix.** %s%s\n", c.Code, c.Status, c.Title, c.Cause, c.Fix, again)
		if example, ok := examples["problem "+string(c.Code)]; ok {
			var text bytes.Buffer
			if err := json.Indent(&text, example, "", "  "); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "\n```json\n%s\n```\n", &text)
		}
	}
	return b.String()
}

// metrics are those of the page for Prometheus, as it writes them, with their labels.
func metrics(t *testing.T) string {
	told, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	some := []string{"x"}
	told.InitCounters(telemetry.LabelValues{CacheResults: some, AuthFailures: some, Refusals: some, IdempotentCreates: some, MigrationSteps: some, Fields: some})
	told.InitBackendCounters("b")
	told.ObserveBreaker("b", func() string { return "closed" })
	told.ObserveQuota("b", func() (int64, int64, bool) { return 1, 1, true })
	ctx, span := told.StartRequest(context.Background(), "", "")
	told.EndRequest(ctx, span, new(journal.Entry), telemetry.RequestEvent{Route: "/", Status: 500, Code: "x", Began: time.Now(), Ended: time.Now()})
	ctx, span = told.StartCall(context.Background(), "x", "list")
	told.EndCall(ctx, span, telemetry.CallEvent{Status: 500, ErrorKind: "x"})
	page := httptest.NewRecorder()
	told.Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	type described struct {
		help, kind string
		labels     []string
	}
	all := map[string]*described{}
	var names []string
	for line := range strings.Lines(page.Body.String()) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		switch {
		case words[0] == "#" && words[1] == "HELP":
			all[words[2]] = &described{help: words[3]}
			names = append(names, words[2])
		case words[0] == "#" && words[1] == "TYPE":
			all[words[2]].kind = words[3]
		default:
			sample, _, _ := strings.Cut(line, " ")
			name, labels, _ := strings.Cut(strings.TrimSuffix(sample, "}"), "{")
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if d := all[strings.TrimSuffix(name, suffix)]; d != nil && d.kind == "histogram" {
					name = strings.TrimSuffix(name, suffix)
				}
			}
			for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(labels, -1) {
				if d := all[name]; l[1] != "le" && !slices.Contains(d.labels, l[1]) {
					d.labels = append(d.labels, l[1])
				}
			}
		}
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | what |\n|---|---|---|---|\n")
	for _, name := range names {
		if d := all[name]; strings.HasPrefix(name, "agentgw_") || strings.HasPrefix(name, "http_") {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, d.kind, strings.Join(d.labels, ", "), d.help)
		}
	}
	return b.String()
}

package migratecli

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

//go:embed report.css
var reportStyle string

// page renders the report as one self-contained HTML page.
func (r report) page() g.Node {
	title := g.Text("agentgw migrate " + r.Step)
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width")),
			h.TitleEl(title),
			h.StyleEl(g.Raw(reportStyle)),
		),
		h.Body(
			h.H1(title),
			h.P(g.Text(fmt.Sprintf("%s: %d of %d agents.", r.At.Format("2006-01-02 15:04:05 MST"), len(r.Outcomes), r.Total))),
			h.Table(
				h.Tr(headings("result", "state"), number(h.Th, "agents")),
				g.Map(r.summary(), func(l summaryLine) g.Node {
					return h.Tr(h.Td(g.Text(l.Result)), h.Td(g.Text(l.State)), number(h.Td, strconv.Itoa(l.Agents)))
				}),
			),
			h.Table(
				h.Tr(headings("agent", "target", "result", "fields", "losses", "manual steps, warnings")),
				g.Map(r.Outcomes, func(o outcome) g.Node { return o.row() }),
			),
		),
	))
}

// row renders the table row of an agent, its name first.
func (o outcome) row() g.Node {
	result := strings.TrimSpace(o.Result + " " + o.State)
	if o.Detail != "" {
		result += ": " + o.Detail
	}
	return h.Tr(
		h.Td(g.Text(o.Name), g.If(o.Name != "", h.Br()), id(o.Source), h.Br(), id(o.Migration)),
		h.Td(id(cmp.Or(o.Target, o.TargetBackend))),
		h.Td(g.Text(result)),
		h.Td(g.Text(o.countText()), o.details()),
		joined(o.Losses), joined(append(slices.Clone(o.Manual), o.Warnings...)),
	)
}

// id renders an id in grey.
func id(text string) g.Node { return h.Code(h.Class("id"), g.Text(text)) }

// countText lists the kinds of findings that there are.
func (o outcome) countText() string {
	var counts []string
	for _, kind := range findingKinds {
		if n := o.Counts[kind]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(counts, ", ")
}

// details renders the findings, and their values if the report has them.
func (o outcome) details() g.Node {
	if len(o.Findings) == 0 {
		return nil
	}
	return h.Details(h.Summary(g.Text("findings")), h.Ul(g.Map(o.Findings, func(f client.Finding) g.Node {
		return h.Li(h.Code(g.Text(f.Path)), g.Text(" "+f.Severity+": "+f.Message+f.Hint()), valueNode(h.Del, f.From), valueNode(h.Ins, f.To))
	})))
}

// valueNode renders a value as deleted or inserted text; nothing if there is none.
func valueNode(element func(...g.Node) g.Node, value jsontext.Value) g.Node {
	if value == nil {
		return nil
	}
	return h.Pre(element(g.Text(string(value))))
}

func headings(names ...string) g.Node {
	return g.Map(names, func(name string) g.Node { return h.Th(g.Text(name)) })
}

// number renders a right-aligned cell.
func number(cell func(...g.Node) g.Node, text string) g.Node {
	return cell(h.Class("n"), g.Text(text))
}

// joined renders a cell with a list.
func joined(texts []string) g.Node { return h.Td(g.Text(strings.Join(texts, ", "))) }

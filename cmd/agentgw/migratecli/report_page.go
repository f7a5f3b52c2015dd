package migratecli

import (
	"cmp"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
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
				h.Tr(headings("source", "target", "migration", "state", "result"),
					g.Map(findingKinds, func(kind string) g.Node { return number(h.Th, kind) }),
					headings("losses", "manual steps", "warnings")),
				g.Map(r.Outcomes, func(o outcome) g.Node { return o.row() }),
			),
		),
	))
}

// row renders the table row of an agent.
func (o outcome) row() g.Node {
	result := o.Result
	if o.Detail != "" {
		result += ": " + o.Detail
	}
	return h.Tr(
		h.Td(h.Code(g.Text(o.Source))), h.Td(h.Code(g.Text(cmp.Or(o.Target, o.TargetBackend)))), h.Td(h.Code(g.Text(o.Migration))),
		h.Td(g.Text(o.State)), h.Td(g.Text(result)),
		g.Map(findingKinds, func(kind string) g.Node { return number(h.Td, strconv.Itoa(o.Counts[kind])) }),
		joined(o.Losses), joined(o.Manual), joined(o.Warnings),
	)
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

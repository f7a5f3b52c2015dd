package main

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

// page is the report for a browser; all that it needs is in it.
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
				g.Map(r.Summary(), func(l summaryLine) g.Node {
					return h.Tr(h.Td(g.Text(l.Result)), h.Td(g.Text(l.State)), number(h.Td, strconv.Itoa(l.Agents)))
				}),
			),
			h.Table(
				h.Tr(headings("source", "target", "migration", "state", "result"),
					g.Map(r.Kinds(), func(kind string) g.Node { return number(h.Th, kind) }),
					headings("losses", "by hand", "warnings")),
				g.Map(r.Outcomes, func(o outcome) g.Node { return o.row(r.Kinds()) }),
			),
		),
	))
}

func (o outcome) row(kinds []string) g.Node {
	result := o.Result
	if o.Detail != "" {
		result += ": " + o.Detail
	}
	return h.Tr(
		h.Td(h.Code(g.Text(o.Source))), h.Td(h.Code(g.Text(cmp.Or(o.Target, o.TargetBackend)))), h.Td(h.Code(g.Text(o.Migration))),
		h.Td(g.Text(o.State)), h.Td(g.Text(result)),
		g.Map(kinds, func(kind string) g.Node { return number(h.Td, strconv.Itoa(o.Counts[kind])) }),
		listing(o.Losses), listing(o.Manual), listing(o.Warnings),
	)
}

func headings(names ...string) g.Node {
	return g.Map(names, func(name string) g.Node { return h.Th(g.Text(name)) })
}

// number is a cell that is aligned as numbers are.
func number(cell func(...g.Node) g.Node, text string) g.Node {
	return cell(h.Class("n"), g.Text(text))
}

func listing(texts []string) g.Node { return h.Td(g.Text(strings.Join(texts, ", "))) }

package docsite

import (
	"bytes"
	_ "embed"
	"strconv"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// Code is an error code. Fix says what the caller can do about it.
type Code struct {
	Code, Title, Cause, Fix string
	Status                  int
	Retryable               bool
}

//go:embed errors.css
var errorsStyle string

// Errors returns the page of the error codes. Each code is an anchor of the page.
func Errors(codes []Code) File {
	page := h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.TitleEl(g.Text("agentgw: error codes")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Link(h.Rel("icon"), h.Type("image/png"), h.Href("assets/favicon-32x32.png")),
			h.StyleEl(g.Raw(errorsStyle)),
		),
		h.Body(
			h.H1(g.Text("Error codes")),
			h.P(g.Text("Every error is an "), h.Code(g.Text("application/problem+json")), g.Text(" document (RFC 9457). Its "), h.Code(g.Text("code")),
				g.Text(" is one of the following. See also the "), h.A(h.Href("../docs"), g.Text("API documentation")), g.Text(".")),
			g.Map(codes, Code.section),
		),
	))
	var text bytes.Buffer
	if err := page.Render(&text); err != nil {
		panic(err) // writing to a buffer does not fail
	}
	return NewFile(mediaHTML, text.Bytes())
}

func (c Code) section() g.Node {
	return h.Section(h.ID(c.Code),
		h.H2(h.Code(g.Text(c.Code)), g.Text(" · "+strconv.Itoa(c.Status))),
		h.P(g.Text(c.Title+".")),
		h.P(h.B(g.Text("Cause.")), g.Text(" "+c.Cause)),
		h.P(h.B(g.Text("Fix.")), g.Text(" "+c.Fix), g.If(c.Retryable, g.Text(" The same request may succeed later."))),
	)
}

package gateway

import (
	"bytes"
	"html/template"

	"github.com/agentgw/agentgw/gateway/payload"
)

// errorsPage is GET /docs/errors, where a problem's type points to.
var errorsPage = &response{status: 200, media: "text/html; charset=utf-8", body: payload.New(renderErrors())}

var errorsTemplate = template.Must(template.New("errors").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>agentgw: error codes</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
code{font-family:ui-monospace,monospace}section:target{outline:2px solid;outline-offset:.5rem}</style></head>
<body><h1>Error codes</h1>
<p>Every error is <code>application/problem+json</code> (RFC 9457). Its <code>code</code> is one of these.</p>
{{range .}}<section id="{{.Code}}"><h2><code>{{.Code}}</code> · {{.Status}}</h2>
<p>{{.Title}}. {{.Cure}}{{if .Retryable}} The same request may succeed later.{{end}}</p></section>
{{end}}</body></html>
`))

func renderErrors() []byte {
	var page bytes.Buffer
	if err := errorsTemplate.Execute(&page, Codes()); err != nil {
		panic(err) // the template and the table are constants; a test renders them
	}
	return page.Bytes()
}

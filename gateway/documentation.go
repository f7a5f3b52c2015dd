package gateway

import (
	"slices"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/docsite"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/openapi"
)

// documentation is what the gateway says of itself, made when it is first asked for.
type documentation struct {
	openAPI func() (*response, error)
	errors  func() *response
}

// describe writes the API down as OpenAPI 3.1, from the routes, the codes and the
// providers' tables.
func (g *Gateway) describe() (*response, error) {
	in := openapi.Input{Version: g.version, Orders: catalog.OrderNames()}
	for _, r := range routes {
		in.Routes = append(in.Routes, openapi.Route{Method: r.method, Path: r.name, Open: r.open, Scope: r.scope, Query: r.query, Body: r.body, Bodyless: r.bodyless})
	}
	for _, c := range Codes() {
		in.Codes = append(in.Codes, openapi.Code{Code: string(c.Code), Title: c.Title, Fix: c.Cure, Status: c.Status})
	}
	for _, p := range g.providers {
		in.Providers = append(in.Providers, p.Info)
	}
	slices.SortFunc(in.Providers, func(a, b *adapters.Info) int { return strings.Compare(a.Provider, b.Provider) })
	in.Migration = openapi.Migration{
		States: migrate.States(), Steps: texts(migrate.Steps()), Kinds: texts(migrate.Kinds()), Severities: texts(migrate.Severities()),
		Verdicts: texts(migrate.Verdicts()), Transforms: migrate.Transforms(),
	}
	document, err := openapi.Build(in)
	if err != nil {
		return nil, err
	}
	return fixed(docsite.NewFile("application/json", document)), nil
}

func errorsPage() *response {
	codes := make([]docsite.Code, 0, len(codeTable))
	for _, c := range codeTable {
		codes = append(codes, docsite.Code{Code: string(c.Code), Title: c.Title, Cause: c.Cause, Fix: c.Cure, Status: c.Status, Retryable: c.Retryable})
	}
	return shown(docsite.Errors(codes))
}

// shown is a file for browsers.
func shown(f docsite.File) *response {
	r := fixed(f)
	r.header("Content-Security-Policy", docsite.Policy)
	r.header("X-Content-Type-Options", "nosniff")
	r.header("Referrer-Policy", "no-referrer")
	return r
}

// fixed is an answer that is the same as long as the program is.
func fixed(f docsite.File) *response {
	r := &response{status: 200, media: f.Media, body: f.Body, etag: catalog.ETag(f.Digest)}
	r.header("Cache-Control", "no-cache")
	return r
}

func texts[T ~string](values []T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

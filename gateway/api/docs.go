package api

import (
	"sync"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/docsite"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/openapi"
	"github.com/agentgw/agentgw/gateway/problem"
)

// documents are the documentation pages that depend on the build, each made on first use.
type documents struct {
	openAPI func() (*response, error)
	errors  func() *response
}

func newDocuments(version string, providers []*adapters.Info) *documents {
	return &documents{
		openAPI: sync.OnceValues(func() (*response, error) { return openAPIDocument(version, providers) }),
		errors:  sync.OnceValue(errorsPage),
	}
}

// openAPIDocument builds the OpenAPI 3.1 document from the routes, the error codes and the
// providers' capabilities.
func openAPIDocument(version string, providers []*adapters.Info) (*response, error) {
	in := openapi.Input{Version: version, Providers: providers, Orders: catalog.OrderNames()}
	for _, r := range routes {
		in.Routes = append(in.Routes, openapi.Route{Method: r.method, Path: r.name, Open: r.open, Scope: r.scope, Query: r.query, Body: r.body, Bodyless: r.bodyless})
	}
	for _, c := range problem.Codes() {
		in.Codes = append(in.Codes, openapi.Code{Code: string(c.Code), Title: c.Title, Fix: c.Fix, Status: c.Status})
	}
	in.Migration = openapi.Migration{
		States: migrate.States(), Steps: Texts(migrate.Steps()), Kinds: Texts(migrate.Kinds()), Severities: Texts(migrate.Severities()),
		Verdicts: Texts(migrate.Verdicts()), Transforms: migrate.Transforms(),
	}
	document, err := openapi.Build(in)
	if err != nil {
		return nil, err
	}
	return fileResponse(docsite.NewFile("application/json", document)), nil
}

// errorsPage returns /docs/errors.
func errorsPage() *response {
	codes := make([]docsite.Code, 0, len(problem.Codes()))
	for _, c := range problem.Codes() {
		codes = append(codes, docsite.Code{Code: string(c.Code), Title: c.Title, Cause: c.Cause, Fix: c.Fix, Status: c.Status, Retryable: c.Retryable})
	}
	return pageResponse(docsite.Errors(codes))
}

// pageResponse returns a file that browsers show, with the headers that protect it.
func pageResponse(f docsite.File) *response {
	r := fileResponse(f)
	r.header("Content-Security-Policy", docsite.Policy)
	r.header("X-Content-Type-Options", "nosniff")
	r.header("Referrer-Policy", "no-referrer")
	return r
}

// fileResponse returns a file of the program, which changes only with its version.
func fileResponse(f docsite.File) *response {
	r := &response{status: 200, media: f.Media, body: f.Body, etag: catalog.ETag(f.Digest)}
	r.header("Cache-Control", "no-cache")
	return r
}

// Texts returns the values as strings.
func Texts[T ~string](values []T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

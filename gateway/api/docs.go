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

// documents are the documents about the API, each made when it is first requested.
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

// openAPIDocument describes the API in OpenAPI 3.1, from the routes, the error codes and the
// providers' capability tables.
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
	return fixed(docsite.NewFile("application/json", document)), nil
}

func errorsPage() *response {
	codes := make([]docsite.Code, 0, len(problem.Codes()))
	for _, c := range problem.Codes() {
		codes = append(codes, docsite.Code{Code: string(c.Code), Title: c.Title, Cause: c.Cause, Fix: c.Fix, Status: c.Status, Retryable: c.Retryable})
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

func Texts[T ~string](values []T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

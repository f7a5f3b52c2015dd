package gateway

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/gateway/docsite"
	"github.com/agentgw/agentgw/normalize"
)

// route is one thing that can be asked.
type route struct {
	method string
	path   string // as Fiber has it: ":id"
	name   string // as spans and metrics have it: "{id}"
	open   bool   // needs no key
	scope  string // beside a key; "" for any key
	query  []string
	body   []string // media types of the body it takes
	// bodyless: it may come without one.
	bodyless  bool
	cacheable bool // its responses may be cached
	handle    func(*Gateway, *request) (*response, error)
}

var (
	listParameters  = []string{"backend", "provider", "status", "architecture", "direction", "visibility", "language", "modality", "q", "view", "include", "order_by", "limit", "cursor", "require", "collapse_migrated"}
	writeParameters = []string{"dry_run"}
	namedParameters = []string{"dry_run", "resolve"}
	jsonTypes       = []string{"application/json"}
	patchTypes      = []string{"application/merge-patch+json", "application/json"}
)

// routes is everything on the public listener.
var routes = []route{
	{method: "GET", path: "/v1/agents", name: "/v1/agents", scope: ScopeRead, query: listParameters, cacheable: true, handle: (*Gateway).handleList},
	{method: "GET", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: ScopeRead, query: []string{"include", "resolve"}, cacheable: true, handle: (*Gateway).handleGet},
	{method: "POST", path: "/v1/agents", name: "/v1/agents", scope: ScopeWrite, query: writeParameters, body: jsonTypes, handle: (*Gateway).handleCreate},
	{method: "PATCH", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: ScopeWrite, query: namedParameters, body: patchTypes, handle: (*Gateway).handlePatch},
	{method: "DELETE", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: ScopeWrite, query: namedParameters, handle: (*Gateway).handleDelete},
	{method: "GET", path: "/v1/backends", name: "/v1/backends", handle: (*Gateway).handleBackends},
	{method: "GET", path: "/v1/backends/:id", name: "/v1/backends/{backend}", handle: (*Gateway).handleBackend},
	{method: "GET", path: "/v1/aliases", name: "/v1/aliases", scope: ScopeRead, handle: (*Gateway).handleAliases},
	{method: "GET", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: ScopeRead, handle: (*Gateway).handleAlias},
	{method: "PUT", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: ScopeAliases, body: jsonTypes, handle: (*Gateway).handlePutAlias},
	{method: "DELETE", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: ScopeAliases, query: []string{"version"}, handle: (*Gateway).handleDeleteAlias},
	{method: "GET", path: "/v1/migrations", name: "/v1/migrations", scope: ScopeMigrate, query: []string{"state", "source", "source_backend", "target_backend", "limit", "cursor"}, handle: (*Gateway).handleMigrations},
	{method: "GET", path: "/v1/migrations/:id", name: "/v1/migrations/{id}", scope: ScopeMigrate, handle: (*Gateway).handleMigration},
	{method: "POST", path: "/v1/migrations", name: "/v1/migrations", scope: ScopeMigrate, body: jsonTypes, handle: (*Gateway).handlePlanMigration},
	{method: "POST", path: "/v1/migrations/:id/apply", name: "/v1/migrations/{id}/apply", scope: ScopeMigrate, body: jsonTypes, handle: (*Gateway).handleApplyMigration},
	{method: "POST", path: "/v1/migrations/:id/verify", name: "/v1/migrations/{id}/verify", scope: ScopeMigrate, body: jsonTypes, bodyless: true, handle: (*Gateway).handleVerifyMigration},
	{method: "POST", path: "/v1/migrations/:id/shadow", name: "/v1/migrations/{id}/shadow", scope: ScopeMigrate, body: jsonTypes, handle: (*Gateway).handleShadowMigration},
	{method: "POST", path: "/v1/migrations/:id/cutover", name: "/v1/migrations/{id}/cutover", scope: ScopeMigrate, body: jsonTypes, bodyless: true, handle: (*Gateway).handleCutoverMigration},
	{method: "POST", path: "/v1/migrations/:id/rollback", name: "/v1/migrations/{id}/rollback", scope: ScopeMigrate, body: jsonTypes, bodyless: true, handle: (*Gateway).handleRollbackMigration},
	{method: "GET", path: "/openapi.json", name: "/openapi.json", open: true, handle: (*Gateway).handleOpenAPI},
	{method: "GET", path: "/docs", name: "/docs", open: true, handle: (*Gateway).handleDocs},
	{method: "GET", path: "/docs/assets/:id", name: "/docs/assets/{file}", open: true, handle: (*Gateway).handleDocsAsset},
	{method: "GET", path: "/docs/errors", name: "/docs/errors", open: true, handle: (*Gateway).handleErrorsPage},
}

func (g *Gateway) handleList(r *request) (*response, error) {
	q, err := r.listQuery()
	if err != nil {
		return nil, err
	}
	for _, name := range q.Providers {
		if _, ok := g.providers[name]; !ok {
			return nil, newProblem(CodeInvalidParameter, "provider=%q is not one of %s", normalize.Shorten(name), strings.Join(slices.Sorted(maps.Keys(g.providers)), ", "))
		}
	}
	return g.list(r.ctx, r.caller, q)
}

func (g *Gateway) handleGet(r *request) (*response, error) {
	raw, err := r.includesRaw()
	if err != nil {
		return nil, err
	}
	original, err := r.original()
	if err != nil {
		return nil, err
	}
	return g.get(r.ctx, r.caller, GetQuery{ID: r.id, Raw: raw, Fresh: r.noCache, Original: original})
}

func (g *Gateway) handleCreate(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	if q.IdempotencyKey, err = r.idempotencyKey(); err != nil {
		return nil, err
	}
	return g.createOnce(r.ctx, r.caller, q)
}

func (g *Gateway) handlePatch(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	return g.patch(r.ctx, r.caller, q)
}

func (g *Gateway) handleDelete(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	return g.remove(r.ctx, r.caller, q)
}

func (g *Gateway) handleBackends(r *request) (*response, error) { return g.backends(r.caller) }

func (g *Gateway) handleBackend(r *request) (*response, error) {
	name, err := url.PathUnescape(r.id)
	if err != nil {
		name = r.id
	}
	return g.backend(r.caller, name)
}

func (g *Gateway) handleOpenAPI(*request) (*response, error) { return g.documentation.openAPI() }

func (g *Gateway) handleDocs(*request) (*response, error) { return shown(docsite.Page()), nil }

func (g *Gateway) handleDocsAsset(r *request) (*response, error) {
	f, ok := docsite.Asset(r.id)
	if !ok {
		return nil, newProblem(CodeNotFound, "there is no such file")
	}
	return shown(f), nil
}

func (g *Gateway) handleErrorsPage(*request) (*response, error) { return g.documentation.errors(), nil }

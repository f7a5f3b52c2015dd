package api

import (
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/docsite"
	"github.com/agentgw/agentgw/gateway/migration"
	"github.com/agentgw/agentgw/gateway/problem"
)

// route is one operation of the API.
type route struct {
	method    string
	path      string   // in Fiber's syntax, with ":id"
	name      string   // in OpenAPI's syntax, with "{id}"; also in spans and metrics
	open      bool     // needs no key
	scope     string   // that the key needs; empty for any key
	query     []string // parameters
	body      []string // media types; nil for no body
	bodyless  bool     // the body is optional
	cacheable bool     // the response cache may keep responses
	operation string   // in the audit log; empty for a route that changes nothing
	handle    func(*Server, *request) (*response, error)
}

var (
	listParameters  = []string{"backend", "provider", "status", "architecture", "direction", "visibility", "language", "modality", "q", "view", "include", "order_by", "limit", "cursor", "require", "collapse_migrated"}
	writeParameters = []string{"dry_run"}
	namedParameters = []string{"dry_run", "resolve"}
	pageParameters  = []string{"limit", "cursor"}
	jsonTypes       = []string{"application/json"}
	patchTypes      = []string{"application/merge-patch+json", "application/json"}
)

// routes are all operations of the API.
var routes = []route{
	{method: "GET", path: "/v1/agents", name: "/v1/agents", scope: auth.ScopeRead, query: listParameters, cacheable: true, handle: (*Server).handleList},
	{method: "GET", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: auth.ScopeRead, query: []string{"include", "resolve"}, cacheable: true, handle: (*Server).handleGet},
	{method: "POST", path: "/v1/agents", name: "/v1/agents", scope: auth.ScopeWrite, query: writeParameters, body: jsonTypes, operation: "agents.create", handle: (*Server).handleCreate},
	{method: "PATCH", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: auth.ScopeWrite, query: namedParameters, body: patchTypes, operation: "agents.update", handle: (*Server).handlePatch},
	{method: "DELETE", path: "/v1/agents/:id", name: "/v1/agents/{id}", scope: auth.ScopeWrite, query: namedParameters, operation: "agents.delete", handle: (*Server).handleDelete},
	{method: "GET", path: "/v1/backends", name: "/v1/backends", query: pageParameters, handle: (*Server).handleBackends},
	{method: "GET", path: "/v1/backends/:id", name: "/v1/backends/{backend}", handle: (*Server).handleBackend},
	{method: "GET", path: "/v1/aliases", name: "/v1/aliases", scope: auth.ScopeRead, query: pageParameters, handle: (*Server).handleAliases},
	{method: "GET", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: auth.ScopeRead, handle: (*Server).handleAlias},
	{method: "PUT", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: auth.ScopeAliases, body: jsonTypes, operation: "aliases.put", handle: (*Server).handlePutAlias},
	{method: "DELETE", path: "/v1/aliases/:id", name: "/v1/aliases/{name}", scope: auth.ScopeAliases, query: []string{"version"}, operation: "aliases.delete", handle: (*Server).handleDeleteAlias},
	{method: "GET", path: "/v1/migrations", name: "/v1/migrations", scope: auth.ScopeMigrate, query: []string{"state", "source", "source_backend", "target_backend", "batch", "limit", "cursor"}, handle: (*Server).handleMigrations},
	{method: "GET", path: "/v1/migrations/:id", name: "/v1/migrations/{id}", scope: auth.ScopeMigrate, handle: (*Server).handleMigration},
	{method: "POST", path: "/v1/migrations", name: "/v1/migrations", scope: auth.ScopeMigrate, body: jsonTypes, operation: "migrations.plan", handle: (*Server).handlePlanMigration},
	{method: "POST", path: "/v1/migrations/:id/apply", name: "/v1/migrations/{id}/apply", scope: auth.ScopeMigrate, body: jsonTypes, operation: "migrations.apply", handle: migrationStep((*migration.Service).Apply)},
	{method: "POST", path: "/v1/migrations/:id/verify", name: "/v1/migrations/{id}/verify", scope: auth.ScopeMigrate, body: jsonTypes, bodyless: true, operation: "migrations.verify", handle: migrationStep((*migration.Service).Verify)},
	{method: "POST", path: "/v1/migrations/:id/shadow", name: "/v1/migrations/{id}/shadow", scope: auth.ScopeMigrate, body: jsonTypes, operation: "migrations.shadow", handle: migrationStep((*migration.Service).Shadow)},
	{method: "POST", path: "/v1/migrations/:id/cutover", name: "/v1/migrations/{id}/cutover", scope: auth.ScopeMigrate, body: jsonTypes, bodyless: true, operation: "migrations.cutover", handle: migrationStep((*migration.Service).Cutover)},
	{method: "POST", path: "/v1/migrations/:id/rollback", name: "/v1/migrations/{id}/rollback", scope: auth.ScopeMigrate, body: jsonTypes, bodyless: true, operation: "migrations.rollback", handle: migrationStep((*migration.Service).Rollback)},
	{method: "GET", path: "/", name: "/", open: true, handle: (*Server).handleIndex},
	{method: "GET", path: "/openapi.json", name: "/openapi.json", open: true, handle: (*Server).handleOpenAPI},
	{method: "GET", path: "/docs", name: "/docs", open: true, handle: (*Server).handleDocs},
	{method: "GET", path: "/docs/assets/:id", name: "/docs/assets/{file}", open: true, handle: (*Server).handleDocsAsset},
	{method: "GET", path: "/docs/errors", name: "/docs/errors", open: true, handle: (*Server).handleErrorsPage},
}

func (s *Server) handleList(r *request) (*response, error) {
	q, err := r.listQuery(s.providerNames())
	if err != nil {
		return nil, err
	}
	return respondAgents(s.Agents.List(r.ctx, r.caller, q))
}

func (s *Server) handleGet(r *request) (*response, error) {
	q := agents.GetQuery{ID: r.id, IncludeRaw: r.includesRaw(), NoCache: r.noCache, IgnoreAliases: r.original()}
	if err := r.refusal(); err != nil {
		return nil, err
	}
	return respondAgents(s.Agents.Get(r.ctx, r.caller, q))
}

func (s *Server) handleCreate(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	return respondAgents(s.Agents.Create(r.ctx, r.caller, q))
}

func (s *Server) handlePatch(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	return respondAgents(s.Agents.Update(r.ctx, r.caller, q))
}

func (s *Server) handleDelete(r *request) (*response, error) {
	q, err := r.writeQuery()
	if err != nil {
		return nil, err
	}
	return respondAgents(s.Agents.Delete(r.ctx, r.caller, q))
}

// respondAgents turns what the agents' service returned into a response.
func respondAgents(result *agents.Result, err error) (*response, error) {
	if err != nil {
		return nil, err
	}
	return responseOf(result), nil
}

func (s *Server) handleBackends(r *request) (*response, error) { return r.backends() }

func (s *Server) handleBackend(r *request) (*response, error) {
	name, err := url.PathUnescape(r.id)
	if err != nil {
		name = r.id
	}
	return getBackend(r.caller, name)
}

func (s *Server) handleOpenAPI(*request) (*response, error) { return s.documents.openAPI() }

func (s *Server) handleDocs(*request) (*response, error) { return pageResponse(docsite.Page()), nil }

func (s *Server) handleDocsAsset(r *request) (*response, error) {
	f, ok := docsite.Asset(r.id)
	if !ok {
		return nil, problem.New(problem.CodeNotFound, "no such file")
	}
	return pageResponse(f), nil
}

func (s *Server) handleErrorsPage(*request) (*response, error) {
	return s.documents.errors(), nil
}

// The health checks for orchestrators. They are not in the OpenAPI document.
const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

// probe returns the handler of a health check for orchestrators. It makes no call to a provider: an
// unavailable provider is no reason to take the gateway out of service.
func (s *Server) probe(healthy func() bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		switch {
		case !s.Current().Probes:
			return c.Next()
		case !healthy():
			return c.Status(fiber.StatusServiceUnavailable).JSON(fiber.Map{"status": "draining"})
		}
		return c.JSON(fiber.Map{"status": "ok"})
	}
}

// handleIndex points to what there is, for whoever opens the address of the gateway.
func (s *Server) handleIndex(*request) (*response, error) {
	data, err := json.Marshal(index{Name: "agentgw", Version: s.Version, Agents: "v1/agents", Backends: "v1/backends", Docs: "docs", Errors: "docs/errors", OpenAPI: "openapi.json"})
	return fileResponse(docsite.NewFile("application/json", data)), err
}

// index is the response of GET /. The addresses are relative, so that they hold behind a proxy that
// strips a prefix.
type index struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Agents   string `json:"agents"`
	Backends string `json:"backends"`
	Docs     string `json:"docs"`
	Errors   string `json:"errors"`
	OpenAPI  string `json:"openapi"`
}

func (s *Server) providerNames() []string {
	names := make([]string, len(s.Providers))
	for i, p := range s.Providers {
		names[i] = p.Provider
	}
	return names
}

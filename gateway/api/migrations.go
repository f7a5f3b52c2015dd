package api

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/migration"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// migration returns what every step of a migration gets from a request.
func (r *request) migration() migration.Request {
	return migration.Request{Caller: r.caller, ID: r.id, RequestID: r.requestID}
}

// migrationStep returns the handler of a step whose body is a B.
func migrationStep[B any](step func(*migration.Service, context.Context, migration.Request, B) (*migration.View, error)) func(*Server, *request) (*response, error) {
	return func(s *Server, r *request) (*response, error) {
		var body B
		if err := r.decode(&body); err != nil {
			return nil, err
		}
		v, err := step(s.Migrations, r.ctx, r.migration(), body)
		if err != nil {
			return nil, err
		}
		return migrationResponse(200, v)
	}
}

// migrationResponse encodes a migration. Documents in it stay byte for byte as they were stored.
func migrationResponse(status int, v *migration.View) (*response, error) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.PreserveRawStrings(true))
	if err != nil {
		return nil, err
	}
	r := &response{status: status, body: payload.New(body), subject: v.ID, about: agents.Ref{ID: v.Source}}
	return r, nil
}

func (s *Server) handlePlanMigration(r *request) (*response, error) {
	var body migration.PlanInput
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	v, created, err := s.Migrations.Plan(r.ctx, r.migration(), body)
	if err != nil {
		return nil, err
	}
	if !created {
		return migrationResponse(200, v)
	}
	planned, err := migrationResponse(201, v)
	if err == nil {
		planned.header("Location", "/v1/migrations/"+v.ID)
	}
	return planned, err
}

func (s *Server) handleMigration(r *request) (*response, error) {
	v, err := s.Migrations.Get(r.ctx, r.migration())
	if err != nil {
		return nil, err
	}
	return migrationResponse(200, v)
}

// migrationID matches the id of a migration. The cursor of a page is the id of its last
// migration.
var migrationID = regexp.MustCompile(`^mig_[0-9a-z]{26}$`)

func (s *Server) handleMigrations(r *request) (*response, error) {
	q, err := r.migrationQuery()
	if err != nil {
		return nil, err
	}
	list := page[migration.Summary]{Object: "list"}
	var next string
	if list.Data, next, err = s.Migrations.List(r.ctx, r.migration(), q); err != nil {
		return nil, err
	}
	if next != "" {
		list.NextCursor = &next
	}
	return jsonResponse(list)
}

// migrationQuery decodes the query of GET /v1/migrations.
func (r *request) migrationQuery() (sqlstore.MigrationQuery, error) {
	q := sqlstore.MigrationQuery{Source: r.query["source"], SourceBackend: r.query["source_backend"], TargetBackend: r.query["target_backend"], Batch: r.query["batch"], After: r.query["cursor"], States: r.values("state"), Limit: r.limit()}
	if _, err := normalize.ParseID(q.Source); q.Source != "" && err != nil {
		r.invalid("source", "must be the id of an agent (backend:id), got %q", normalize.Shorten(q.Source))
	}
	for _, name := range []string{"source_backend", "target_backend"} {
		if backend := r.query[name]; backend != "" {
			if _, ok := r.caller.Backend(backend); !ok {
				r.invalid(name, "%s", auth.UnknownBackend(r.caller, backend).Detail)
			}
		}
	}
	for _, state := range q.States {
		if !slices.Contains(migrate.States(), state) {
			r.invalid("state", "must be one of %s, got %q", strings.Join(migrate.States(), ", "), normalize.Shorten(state))
		}
	}
	if err := r.refusal(); err != nil {
		return q, err
	}
	if q.After != "" && !migrationID.MatchString(q.After) {
		return q, problem.New(problem.CodeCursorInvalid, "the cursor was not issued by this gateway")
	}
	return q, nil
}

package api

import (
	"fmt"
	"time"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// aliasView is an alias as it is answered.
type aliasView struct {
	Object      string    `json:"object"`
	Name        string    `json:"name"`
	Target      string    `json:"target"`
	Version     int64     `json:"version"`
	MigrationID *string   `json:"migration_id"` // that made it; null for none
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func viewOfAlias(a sqlstore.Alias) aliasView {
	v := aliasView{Object: "alias", Name: a.Name, Target: a.Target, Version: a.Version, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt}
	if a.MigrationID != "" {
		v.MigrationID = &a.MigrationID
	}
	return v
}

// aliasBody is the body of a PUT.
type aliasBody struct {
	Target  string `json:"target"`
	Version int64  `json:"version"` // of the alias that it replaces; 0 for none
}

func (s *Server) handleAliases(r *request) (*response, error) {
	aliases, err := s.Aliases.List(r.caller)
	if err != nil {
		return nil, err
	}
	list := struct {
		Object string      `json:"object"`
		Data   []aliasView `json:"data"`
	}{"list", []aliasView{}}
	for _, a := range aliases {
		list.Data = append(list.Data, viewOfAlias(a))
	}
	return jsonResponse(list)
}

func (s *Server) handleAlias(r *request) (*response, error) {
	a, err := s.Aliases.Get(r.caller, r.id)
	if err != nil {
		return nil, err
	}
	return aliasResponse(a)
}

func (s *Server) handlePutAlias(r *request) (*response, error) {
	var body aliasBody
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	alias, err := s.Aliases.Put(r.ctx, alias.Write{
		Caller: r.caller, Name: r.id, Target: body.Target, Version: body.Version, Check: r.checkAlias, Audit: r.audit(),
	})
	if err != nil {
		return nil, err
	}
	answer, err := aliasResponse(alias)
	if err == nil && alias.Version == 1 {
		answer.status = 201
		answer.header("Location", "/v1/aliases/"+alias.Name)
	}
	return answer, err
}

func (s *Server) handleDeleteAlias(r *request) (*response, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	err = s.Aliases.Delete(r.ctx, alias.Write{Caller: r.caller, Name: r.id, Version: version, Check: r.checkAlias, Audit: r.audit()})
	if err != nil {
		return nil, err
	}
	return &response{status: 204}, nil
}

// aliasResponse returns an alias with a strong entity tag made of its version.
func aliasResponse(a sqlstore.Alias) (*response, error) {
	r, err := jsonResponse(viewOfAlias(a))
	if err == nil {
		r.etag = aliasTag(a)
	}
	return r, err
}

func aliasTag(a sqlstore.Alias) string { return catalog.ETag(fmt.Sprint("v", a.Version)) }

// checkAlias checks If-Match against an alias; the zero Alias is none.
func (r *request) checkAlias(a sqlstore.Alias) error {
	if len(r.headers[headerIfMatch]) == 0 || a.Version > 0 && agents.MatchesETag(r.headers[headerIfMatch], func(tag string) bool { return tag == aliasTag(a) }) {
		return nil
	}
	return problem.New(problem.CodeETagMismatch, "precondition failed: the alias has changed, or does not exist")
}

// audit is the audit entry of what the request does.
func (r *request) audit() sqlstore.AuditEntry {
	return sqlstore.AuditEntry{At: alias.Now(), KeyID: r.caller.KeyID, RequestID: r.requestID}
}

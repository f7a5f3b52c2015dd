package api

import (
	"fmt"
	"sort"
	"time"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// aliasView is an alias in responses.
type aliasView struct {
	Object      string    `json:"object"`
	Name        string    `json:"name"`
	Target      string    `json:"target"`
	Version     int64     `json:"version"`
	MigrationID *string   `json:"migration_id"` // migration that created it, or null
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

// aliasBody is the body of PUT /v1/aliases/{name}.
type aliasBody struct {
	Target  string `json:"target"`
	Version int64  `json:"version"` // of the alias to replace; 0 to create one
}

func (s *Server) handleAliases(r *request) (*response, error) {
	limit, after := r.limit(), r.query["cursor"]
	if err := r.refusal(); err != nil {
		return nil, err
	}
	aliases, err := s.Aliases.List(r.caller)
	if err != nil {
		return nil, err
	}
	first := sort.Search(len(aliases), func(i int) bool { return aliases[i].Name > after })
	list := newPage(aliases[first:], limit, func(a sqlstore.Alias) string { return a.Name }, viewOfAlias)
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
	alias, changed, err := s.Aliases.Put(r.ctx, alias.Write{
		Caller: r.caller, Name: r.id, Target: body.Target, Version: body.Version, CurrentVersion: len(r.headers[headerIfMatch]) > 0,
		Check: r.checkAlias, Audit: r.audit(),
	})
	if err != nil {
		return nil, err
	}
	written, err := aliasResponse(alias)
	if err == nil {
		written.about = agents.Ref{ID: alias.Target}
	}
	if err == nil && changed && alias.Version == 1 {
		written.status = 201
		written.header("Location", "/v1/aliases/"+alias.Name)
	}
	return written, err
}

func (s *Server) handleDeleteAlias(r *request) (*response, error) {
	w := alias.Write{Caller: r.caller, Name: r.id, Version: r.version(), Check: r.checkAlias, Audit: r.audit()}
	if err := r.refusal(); err != nil {
		return nil, err
	}
	if err := s.Aliases.Delete(r.ctx, w); err != nil {
		return nil, err
	}
	return &response{status: 204}, nil
}

// aliasResponse encodes an alias. Its entity tag is the version.
func aliasResponse(a sqlstore.Alias) (*response, error) {
	r, err := jsonResponse(viewOfAlias(a))
	if err == nil {
		r.etag = aliasTag(a)
	}
	return r, err
}

func aliasTag(a sqlstore.Alias) string { return catalog.ETag(fmt.Sprint("v", a.Version)) }

// checkAlias checks If-Match against an alias, which is zero if it does not exist.
func (r *request) checkAlias(a sqlstore.Alias) error {
	if len(r.headers[headerIfMatch]) == 0 || a.Version > 0 && agents.MatchesETag(r.headers[headerIfMatch], func(tag string) bool { return tag == aliasTag(a) }) {
		return nil
	}
	p := problem.New(problem.CodeETagMismatch, "the alias has changed, or does not exist; read it again and retry with its ETag")
	if a.Version > 0 {
		p.ETag = aliasTag(a)
	}
	return p
}

// audit returns the entry of the request in the audit log.
func (r *request) audit() sqlstore.AuditEntry {
	return sqlstore.AuditEntry{At: alias.Now(), KeyID: r.caller.KeyID, RequestID: r.requestID}
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
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

func (g *Gateway) handleAliases(r *request) (*response, error) {
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	list := struct {
		Object string      `json:"object"`
		Data   []aliasView `json:"data"`
	}{"list", []aliasView{}}
	for _, a := range g.routing.Load().aliases {
		if g.sees(r.caller, a) {
			list.Data = append(list.Data, viewOfAlias(a))
		}
	}
	slices.SortFunc(list.Data, func(a, b aliasView) int { return strings.Compare(a.Name, b.Name) })
	return jsonResponse(list)
}

func (g *Gateway) handleAlias(r *request) (*response, error) {
	a, err := g.alias(r)
	if err != nil {
		return nil, err
	}
	return answerAlias(a)
}

// answerAlias is an alias, with a strong entity tag that its version makes.
func answerAlias(a sqlstore.Alias) (*response, error) {
	r, err := jsonResponse(viewOfAlias(a))
	if err == nil {
		r.etag = aliasTag(a)
	}
	return r, err
}

func aliasTag(a sqlstore.Alias) string { return catalog.ETag(fmt.Sprint("v", a.Version)) }

// matches holds If-Match against an alias; the zero Alias is none.
func (r *request) matches(a sqlstore.Alias) error {
	if len(r.headers[headerIfMatch]) == 0 || a.Version > 0 && holdsTag(r.headers[headerIfMatch], func(tag string) bool { return tag == aliasTag(a) }) {
		return nil
	}
	return newProblem(CodeETagMismatch, "the alias is not as If-Match says: it was changed since, or is not there")
}

// alias is the one that the path names, if the caller sees it.
func (g *Gateway) alias(r *request) (sqlstore.Alias, error) {
	if err := g.needsStore(); err != nil {
		return sqlstore.Alias{}, err
	}
	name, _, err := nameOf(r.id)
	if err == nil {
		if a, ok := g.routing.Load().aliases[name]; ok && g.sees(r.caller, a) {
			return a, nil
		}
	}
	return sqlstore.Alias{}, newProblem(CodeAliasNotFound, "no alias of this name leads to an agent that the key can see")
}

// needsStore is the problem of what is only in the store, while there is none to be had.
// What was read of it before is good for reading.
func (g *Gateway) needsStore() error {
	if g.store == nil || g.routing.Load().revision < 0 {
		return storeProblem(sqlstore.ErrUnavailable)
	}
	return nil
}

// handlePutAlias makes an alias, or leads it elsewhere, if it is of the version that the
// body names.
func (g *Gateway) handlePutAlias(r *request) (*response, error) {
	name, _, err := nameOf(r.id)
	if err != nil {
		return nil, invalidMember("/name", normalize.InvalidValue, "the name in the path is "+err.Error())
	}
	var body aliasBody
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	account, err := g.mayLeadAway(r, name)
	if err != nil {
		return nil, err
	}
	target, _, err := nameOf(body.Target)
	if err != nil {
		return nil, invalidMember("/target", normalize.InvalidValue, err.Error())
	}
	led, err := g.lead(r.caller, target, false)
	if err != nil {
		return nil, err
	}
	if led.id == name || target == name {
		return nil, newProblem(CodeAliasConflict, "%s would lead back to itself", name)
	}
	if known, ok := g.routing.Load().aliases[name]; ok && !g.sees(r.caller, known) {
		return nil, newProblem(CodeAliasConflict, "the name is taken")
	}
	if _, err := led.backend.Endpoint(r.ctx, Call{Op: adapters.OpGet, Credential: led.backend.Credential, NativeID: led.native}); err != nil {
		return nil, backendProblem(led.backend.Name, adapters.OpGet, err)
	}
	// Nobody writes to an agent while the name is led away from it.
	release, err := g.holdAll(r.ctx, name, g.routing.Load().aliases[name].Target)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := r.matches(g.routing.Load().aliases[name]); err != nil {
		return nil, err
	}
	put := sqlstore.Alias{Name: name, Target: led.id, KeyID: r.caller.KeyID, NameAccount: account, TargetAccount: led.backend.account, UpdatedAt: now()}
	if led.from != "" {
		put.Target = led.from // the store follows it, and knows that it did
	}
	alias, err := g.store.PutAlias(r.ctx, put, body.Version, r.audit())
	if err != nil {
		return nil, aliasProblem(name, err)
	}
	g.rerouted(r.ctx)
	answer, err := answerAlias(alias)
	if err == nil && alias.Version == 1 {
		answer.status = 201
		answer.header("Location", "/v1/aliases/"+alias.Name)
	}
	return answer, err
}

// mayLeadAway reports whose the agent is that a name is the id of, if it is the caller's to
// lead away: one that the caller can read, or that an alias leads away from already.
func (g *Gateway) mayLeadAway(r *request, name string) (account string, err error) {
	id, err := normalize.ParseID(name)
	if err != nil {
		return "", nil // a slug
	}
	b, ok := r.caller.Backend(id.Backend)
	if !ok {
		return "", errNoAgent
	}
	if known, ok := g.routing.Load().aliases[name]; ok && g.sees(r.caller, known) {
		return b.account, nil
	}
	result, err := b.Endpoint(r.ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: id.Native})
	if err != nil {
		return "", backendProblem(b.Name, adapters.OpGet, err)
	}
	if agent := result.Detail.Agent; agent.ID != name {
		return "", invalidMember("/name", normalize.InvalidValue, "the agent's own id is "+agent.ID+"; make the alias of that one")
	}
	return b.account, nil
}

// holdAll waits until no write to these agents runs, and has others wait.
func (g *Gateway) holdAll(ctx context.Context, agents ...string) (release func(), err error) {
	slices.Sort(agents)
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	for _, id := range slices.Compact(agents) {
		if id == "" {
			continue
		}
		r, err := g.store.Lock(ctx, movingLock(id), true)
		if err != nil {
			release()
			return nil, storeProblem(err)
		}
		held = append(held, r)
	}
	return release, nil
}

func (g *Gateway) handleDeleteAlias(r *request) (*response, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	a, err := g.alias(r)
	if err != nil {
		return nil, err
	}
	if err := r.matches(a); err != nil {
		return nil, err
	}
	release, err := g.holdAll(r.ctx, a.Target)
	if err != nil {
		return nil, err
	}
	defer release()
	found, err := g.store.DeleteAlias(r.ctx, a.Name, version, r.audit())
	if err != nil {
		return nil, aliasProblem(a.Name, err)
	}
	if !found {
		return nil, newProblem(CodeAliasNotFound, "no alias of this name leads to an agent that the key can see")
	}
	g.rerouted(r.ctx)
	return &response{status: 204}, nil
}

func aliasProblem(name string, err error) *Problem {
	switch {
	case errors.Is(err, sqlstore.ErrVersionMismatch):
		return newProblem(CodeAliasConflict, "%s is not of the version that the request names; read it, and send the version that it has (0 for one that is not there)", name)
	case errors.Is(err, sqlstore.ErrCycle):
		return newProblem(CodeAliasConflict, "%s would lead back to itself", name)
	}
	return storeProblem(err)
}

// resolved adds to an agent's answer which name led to it.
func resolved(r *response, to lead) {
	r.body = withMember(r.body, "resolved_from", encoded(to.from))
	r.header("Content-Location", "/v1/agents/"+to.id)
}

// now is the time to the precision with which the store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// audit is the line of the trail for what the request does.
func (r *request) audit() sqlstore.AuditEntry {
	return sqlstore.AuditEntry{At: now(), KeyID: r.caller.KeyID, RequestID: r.requestID}
}

// collapse leaves out the agents that an alias supersedes.
func (g *Gateway) collapse(ctx context.Context, caller *Caller, parts []part) {
	for i := range parts {
		p := &parts[i]
		if p.snapshot == nil {
			continue
		}
		for _, s := range g.routing.Load().superseded[p.backend.Name] {
			row := p.snapshot.Find(s.native)
			if row < 0 || !g.sees(caller, s.by) {
				continue
			}
			if p.gone == nil {
				p.gone = map[int]bool{}
			}
			p.gone[row] = true
		}
	}
}

package alias

import (
	"errors"
	"net/url"
	"regexp"
	"slices"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// slug matches the names of aliases that are not ids of agents.
var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// errNoAgent is the same for an id that is invalid, one of an agent that does not exist, and
// one that the key does not map to: a caller cannot tell them apart.
var errNoAgent = problem.AgentNotFound()

// Target is the agent that a name resolves to.
type Target struct {
	Backend  auth.CallerBackend
	NativeID string
	ID       string // of the agent
	Alias    string // the name that was resolved; empty if it was the agent's own id
}

// Resolve returns the agent that a name in a path stands for. If original is set, aliases
// are ignored.
func (s *Service) Resolve(caller *auth.Caller, name string, original bool) (Target, error) {
	name, id, err := parseName(name)
	if err != nil {
		return Target{}, errNoAgent
	}
	agentID, from := name, ""
	if !original {
		if s.neverLoaded() && slug.MatchString(name) {
			return Target{}, problem.StoreUnavailable(sqlstore.ErrUnavailable)
		}
		if a, ok := s.Lookup(name); ok && s.SameNamespace(caller, a) {
			if !s.Visible(caller, a) {
				return Target{}, errNoAgent
			}
			agentID, id, from = a.Target, ParseStoredID(a.Target), name
		}
	}
	b, ok := caller.Backend(id.Backend) // a slug without an alias has no backend
	if !ok {
		return Target{}, errNoAgent
	}
	return Target{Backend: b, NativeID: id.Native, ID: agentID, Alias: from}, nil
}

// parseName returns a name in a path, which may be percent-encoded, in its stored form. If it
// is an agent's id, the parsed id is returned too, else the name is a slug.
func parseName(text string) (name string, id normalize.ID, err error) {
	if plain, err := url.PathUnescape(text); err == nil {
		if id, err := normalize.ParseID(text); err == nil { // ParseID accepts one spelling only
			return plain, id, nil
		}
		if slug.MatchString(plain) {
			return plain, normalize.ID{}, nil
		}
	}
	return "", normalize.ID{}, errors.New("neither an agent id nor a slug (1 to 64 of a-z, 0-9 and -, with no - at either end)")
}

// Lookup returns the alias with a name in its stored form, whether or not a caller can see
// it.
func (s *Service) Lookup(name string) (a sqlstore.Alias, ok bool) {
	a, ok = s.table.Load().aliases[name]
	return a, ok
}

// Visible reports whether a caller can see an alias: the key maps to the target's backend,
// and name and target belong to the caller's accounts.
func (s *Service) Visible(caller *auth.Caller, a sqlstore.Alias) bool {
	_, ok := caller.Backend(ParseStoredID(a.Target).Backend)
	return ok && s.sameAccount(caller, a.KeyID, a.Target, a.TargetAccount) && s.SameNamespace(caller, a)
}

// SameNamespace reports whether the name of an alias means the same agent to a caller as to
// the key that created the alias. An agent's id is unique within an account only: another
// account at the same backend may have an agent with the same id.
func (s *Service) SameNamespace(caller *auth.Caller, a sqlstore.Alias) bool {
	return s.sameAccount(caller, a.KeyID, a.Name, a.NameAccount)
}

// sameAccount reports whether a caller uses a given account at an agent's backend. The
// account was stored when key created the alias. If the credential of that key was rotated
// since, its present account counts. If the key no longer exists and no key has the stored
// account, the account cannot be checked: it is left to the backend to refuse the caller.
func (s *Service) sameAccount(caller *auth.Caller, key, agent, account string) bool {
	id, err := normalize.ParseID(agent)
	if err != nil {
		return true // a slug
	}
	own, ok := caller.Backend(id.Backend)
	if !ok || own.Account == account || caller.KeyID == key {
		return true
	}
	keys := s.Keys()
	if creator := keys.Caller(key); creator != nil {
		if theirs, ok := creator.Backend(id.Backend); ok {
			return theirs.Account == own.Account
		}
	}
	return account == "" || !keys.HasAccount(account)
}

// Superseded returns the native ids of the agents of a backend whose ids are aliases of
// other agents, as far as the caller can see the aliases.
func (s *Service) Superseded(caller *auth.Caller, backend string) (nativeIDs []string) {
	for _, superseded := range s.table.Load().superseded[backend] {
		if s.Visible(caller, superseded.alias) {
			nativeIDs = append(nativeIDs, superseded.nativeID)
		}
	}
	return nativeIDs
}

// PointingTo returns the names of the aliases of an agent that the caller can see, in
// ascending order.
func (s *Service) PointingTo(caller *auth.Caller, agent string) (names []string) {
	for name, a := range s.table.Load().aliases {
		if a.Target == agent && s.Visible(caller, a) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ParseStoredID parses an id from the store. It returns the zero ID for the empty string.
func ParseStoredID(text string) normalize.ID {
	id, err := normalize.ParseID(text)
	if err != nil {
		return normalize.ID{}
	}
	return id
}

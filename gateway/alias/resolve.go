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

// Target is the agent that a name resolves to.
type Target struct {
	Backend  auth.CallerBackend
	NativeID string
	ID       string // of the agent
	Alias    string // the name that was resolved; empty if it was the agent's own id
	owner    string // of the alias
}

// Resolve returns the agent that a name in a path stands for. If original is set, aliases
// are ignored. The problem is the same for an id of an agent that does not exist and for one
// whose backend the key does not map to: a caller cannot tell them apart.
func (s *Service) Resolve(caller *auth.Caller, text string, original bool) (Target, error) {
	name, id, err := parseName(text)
	if err != nil {
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		return Target{}, auth.AgentNotFound(caller, text)
	}
	agentID, from, owner := name, "", ""
	if !original {
		if s.neverLoaded() && slug.MatchString(name) {
			return Target{}, problem.StoreUnavailable(sqlstore.ErrUnavailable)
		}
		if a, ok := s.lookup(caller, name); ok {
			if !s.Visible(caller, a) {
				return Target{}, auth.AgentNotFound(caller, name)
			}
			agentID, id, from, owner = a.Target, ParseStoredID(a.Target), name, a.Owner
		}
	}
	b, ok := caller.Backend(id.Backend) // a slug without an alias has no backend
	if !ok {
		return Target{}, auth.AgentNotFound(caller, name)
	}
	return Target{Backend: b, NativeID: id.Native, ID: agentID, Alias: from, owner: owner}, nil
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

// ownersOf returns the owners whose alias of a name the caller may use, the first one first. The
// first is also the owner of an alias that the caller creates. For an agent's id that is the
// caller's account at the agent's backend: accounts may number their agents alike, and the
// alias of one must not lead another's requests anywhere. For a slug it is the caller's group
// or key. Which keys this instance knows does not matter.
func ownersOf(caller *auth.Caller, name string) []string {
	owners := make([]string, 0, 2)
	if id, err := normalize.ParseID(name); err == nil {
		if b, ok := caller.Backend(id.Backend); ok {
			owners = append(owners, sqlstore.AccountOwner(b.Account))
		}
	} else if caller.AliasGroup != "" {
		owners = append(owners, sqlstore.GroupOwner(caller.AliasGroup))
	}
	return append(owners, sqlstore.KeyOwner(caller.KeyID))
}

// lookup returns the alias with a name in its stored form that belongs to the caller.
func (s *Service) lookup(caller *auth.Caller, name string) (a sqlstore.Alias, ok bool) {
	table := s.table.Load()
	for _, owner := range ownersOf(caller, name) {
		if a, ok = table.aliases[ownedName{owner, name}]; ok {
			return a, true
		}
	}
	return sqlstore.Alias{}, false
}

// OfAgent returns the alias whose name is an agent's id in an account.
func (s *Service) OfAgent(account, id string) (a sqlstore.Alias, ok bool) {
	a, ok = s.table.Load().aliases[ownedName{sqlstore.AccountOwner(account), id}]
	return a, ok
}

// Visible reports whether a caller can see an alias: it is the caller's, and its target is an
// agent of the caller's account.
func (s *Service) Visible(caller *auth.Caller, a sqlstore.Alias) bool {
	target, ok := caller.Backend(ParseStoredID(a.Target).Backend)
	return ok && target.Account == a.TargetAccount && slices.Contains(ownersOf(caller, a.Name), a.Owner)
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
	for _, a := range s.table.Load().aliases {
		if a.Target == agent && s.Visible(caller, a) {
			names = append(names, a.Name)
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

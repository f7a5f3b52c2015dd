package alias

import (
	"sync/atomic"

	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// Table is an immutable copy of the aliases and shadow reads in the store, so that reads of
// agents never query the store.
type Table struct {
	// Generation identifies the table among those of this process. It is part of the keys
	// of cached responses, so that a changed alias invalidates them.
	Generation uint64
	revision   int64 // of the store; negative before the store was read
	aliases    map[ownedName]sqlstore.Alias
	shadows    map[string][]sqlstore.Shadow // by the id of the source
	migrating  map[string]bool              // sources and targets of migrations that can still move names
	superseded map[string][]superseded      // by backend
}

// ownedName identifies an alias: names are unique within an owner.
type ownedName struct{ owner, name string }

// superseded is an agent whose id is an alias of another agent.
type superseded struct {
	nativeID string
	alias    sqlstore.Alias
}

// lastGeneration is the generation of the newest table.
var lastGeneration atomic.Uint64

func newTable(routes sqlstore.Routes) *Table {
	t := &Table{
		Generation: lastGeneration.Add(1), revision: routes.Revision,
		aliases: make(map[ownedName]sqlstore.Alias, len(routes.Aliases)), shadows: make(map[string][]sqlstore.Shadow, len(routes.Shadows)),
		migrating: make(map[string]bool, len(routes.Migrating)), superseded: map[string][]superseded{},
	}
	for _, a := range routes.Aliases {
		t.aliases[ownedName{a.Owner, a.Name}] = a
		if id, err := normalize.ParseID(a.Name); err == nil {
			t.superseded[id.Backend] = append(t.superseded[id.Backend], superseded{id.Native, a})
		}
	}
	for _, s := range routes.Shadows {
		t.shadows[s.Source] = append(t.shadows[s.Source], s)
	}
	for _, id := range routes.Migrating {
		t.migrating[id] = true
	}
	return t
}

// Shadows returns the shadow reads that are configured for a source agent.
func (t *Table) Shadows(source string) []sqlstore.Shadow { return t.shadows[source] }

// changedAgents returns the names and targets of aliases that differ.
func changedAgents(before, now map[ownedName]sqlstore.Alias) (agents []string) {
	changed := func(a, b map[ownedName]sqlstore.Alias) {
		for key, alias := range a {
			if b[key].Target != alias.Target {
				agents = append(agents, key.name, alias.Target)
			}
		}
	}
	changed(before, now)
	changed(now, before)
	return agents
}

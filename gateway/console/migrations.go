package console

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// Migrations is the data of the migrations page: the state of each migration, and the
// details of one. Of the values of agents it contains their names only.
type Migrations struct {
	Now time.Time `json:"now"`
	// Available is false while the store is unavailable.
	Available bool         `json:"available"`
	States    []StateCount `json:"states"` // in the order of the steps
	List      []Migration  `json:"list"`   // the latest, newest first
	Chosen    *Details     `json:"chosen"` // null if no migration is expanded
}

// StateCount is the number of migrations in a state.
type StateCount struct {
	State string `json:"state"`
	Count int    `json:"count"`
}

// Migration is a row of the list.
type Migration struct {
	ID         string         `json:"id"`
	State      string         `json:"state"`
	Name       string         `json:"name"` // of the source agent; empty if it has none
	Source     string         `json:"source"`
	Target     string         `json:"target"` // the target agent, or the target backend until there is one
	KeyID      string         `json:"key_id"`
	UpdatedAt  time.Time      `json:"updated_at"`
	Severities map[string]int `json:"severities"` // number of findings by severity
}

// Details are the details of one migration.
type Details struct {
	ID       string          `json:"id"`
	Findings []Finding       `json:"findings"`
	Shadow   *Shadow         `json:"shadow"`
	Trail    []MigrationStep `json:"trail"`
}

// Finding says what a migration does to a field.
type Finding struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
}

// Shadow holds the results of shadow reads, minute by minute.
type Shadow struct {
	Percent int64              `json:"percent"`
	Until   time.Time          `json:"until"`
	Start   int64              `json:"start"`  // Unix time of the first minute
	Reads   []int64            `json:"reads"`  // per minute
	Fields  map[string][]int64 `json:"fields"` // differences per minute, by field
}

// MigrationStep is an entry of the audit log.
type MigrationStep struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`
	State  string    `json:"state"`
	KeyID  string    `json:"key_id"`
	Detail string    `json:"detail"`
}

// migrationsTimeout bounds the queries to the store.
const migrationsTimeout = 5 * time.Second

// migrations serves GET /console/migrations.json. The parameter id names the migration to
// expand.
func migrations(load func(ctx context.Context, id string) Migrations) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), migrationsTimeout)
		defer cancel()
		body, err := json.Marshal(load(ctx, r.URL.Query().Get("id")), json.Deterministic(true))
		if err != nil {
			http.Error(w, "cannot encode the migrations", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) // the client may be gone
	}
}

package console

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// Migrations are what the page of migrations shows: how far each is, and of one of them
// what becomes of its fields. No value of an agent is in it.
type Migrations struct {
	Now time.Time `json:"now"`
	// Available is false while the store cannot be asked.
	Available bool         `json:"available"`
	States    []StateCount `json:"states"` // in the order in which they follow
	List      []Migration  `json:"list"`   // the last ones, the newest first
	Chosen    *ChosenOne   `json:"chosen"` // null if none was asked for
}

// StateCount is how many migrations are in a state.
type StateCount struct {
	State string `json:"state"`
	Count int    `json:"count"`
}

// Migration is a line of the list.
type Migration struct {
	ID         string         `json:"id"`
	State      string         `json:"state"`
	Source     string         `json:"source"`
	Target     string         `json:"target"` // an agent, or a backend before there is one
	KeyID      string         `json:"key_id"`
	UpdatedAt  time.Time      `json:"updated_at"`
	Severities map[string]int `json:"severities"` // how many findings are of each
}

// ChosenOne is all of one migration.
type ChosenOne struct {
	ID       string          `json:"id"`
	Findings []Finding       `json:"findings"`
	Shadow   *Shadow         `json:"shadow"`
	Trail    []MigrationStep `json:"trail"`
}

// Finding is what becomes of a field.
type Finding struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
}

// Shadow is what was seen of a target beside its source, minute by minute.
type Shadow struct {
	Percent int64              `json:"percent"`
	Until   time.Time          `json:"until"`
	Start   int64              `json:"start"` // of the first minute, seconds since 1970
	Reads   []int64            `json:"reads"` // of each minute
	Fields  map[string][]int64 `json:"fields"`
}

// MigrationStep is a line of the trail.
type MigrationStep struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`
	State  string    `json:"state"`
	KeyID  string    `json:"key_id"`
	Detail string    `json:"detail"`
}

// migrationsPatience bounds what a page waits for the store.
const migrationsPatience = 5 * time.Second

// migrations answers GET /console/migrations.json, with ?id= of the one that is looked at.
func migrations(of func(ctx context.Context, id string) Migrations) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), migrationsPatience)
		defer cancel()
		body, err := json.Marshal(of(ctx, r.URL.Query().Get("id")), json.Deterministic(true))
		if err != nil {
			http.Error(w, "it cannot be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) // who asked may be gone
	}
}

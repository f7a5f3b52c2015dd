package migratecli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
)

// Exit codes of the migrate commands, in addition to those of every command.
const (
	exitLoss    = 3 // losses must be accepted
	exitMissing = 4 // input is missing, or the plan is blocked
	exitDrift   = 5 // the source, the target or an alias has changed
)

// migration is a migration in API responses. It has only the fields that are printed.
type migration struct {
	ID            string         `json:"id"`
	SourceName    *string        `json:"source_name"`
	Batch         *string        `json:"batch"`
	State         string         `json:"state"`
	Source        string         `json:"source"`
	TargetBackend string         `json:"target_backend"`
	Target        *string        `json:"target"`
	PlanHash      string         `json:"plan_hash"`
	Counts        map[string]int `json:"counts"`
	Losses        []string       `json:"losses"`
	Next          []string       `json:"next"`
	Plan          struct {
		Findings []finding `json:"findings"`
	} `json:"plan"`
	Verification *verification `json:"verification"`
	Shadow       *shadow       `json:"shadow"`
	Manual       []finding     `json:"manual"`
	Warnings     []warning     `json:"warnings"`
	Trail        []auditEntry  `json:"trail"`
}

type finding struct {
	Path     string         `json:"path"`
	Kind     string         `json:"kind"`
	Severity string         `json:"severity"`
	Message  string         `json:"message"`
	Fix      string         `json:"fix,omitempty"`
	From     jsontext.Value `json:"from,omitempty"`
	To       jsontext.Value `json:"to,omitempty"`
}

type verification struct {
	OK            bool                  `json:"ok"`
	SourceChanged bool                  `json:"source_changed"`
	TargetChanged bool                  `json:"target_changed"`
	Fields        []migrate.FieldResult `json:"fields"`
}

type shadow struct {
	Percent     int            `json:"percent"`
	Until       time.Time      `json:"until"`
	Reads       int            `json:"reads"`
	Differences map[string]int `json:"differences"`
	Note        string         `json:"note"`
}

type warning struct {
	Code    string  `json:"code"`
	Path    *string `json:"path"`
	Message string  `json:"message"`
}

type auditEntry struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`
	State  string    `json:"state"`
	KeyID  string    `json:"key_id"`
	Detail string    `json:"detail"`
}

// name returns the name of the source agent, empty if it has none.
func (m migration) name() string { return deref(m.SourceName) }

func (m migration) sourceBackend() string {
	backend, _, _ := strings.Cut(m.Source, ":")
	return backend
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// target returns the id of the target agent, or the target backend until there is one.
func (m migration) target() string {
	if m.Target != nil {
		return *m.Target
	}
	return m.TargetBackend
}

// blockingPaths returns the paths of the findings that keep a plan from being applied.
func (m migration) blockingPaths() []string {
	var paths []string
	for _, f := range m.Plan.Findings {
		if f.Severity == "blocking" {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// withExitCode gives an API error the exit code that its error code stands for.
func withExitCode(err error) error {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		return err
	}
	switch e.Code {
	case "loss_not_accepted":
		return cli.Error{Err: err, Code: exitLoss}
	case "migration_blocked":
		return cli.Error{Err: err, Code: exitMissing}
	case "plan_stale", "target_diverged", "alias_conflict":
		return cli.Error{Err: err, Code: exitDrift}
	}
	return err
}

// request is a single call that returns a migration.
type request struct {
	method, path string
	body         any
	json         bool                  // print the response as it is
	print        func(migration)       // used unless json
	result       func(migration) error // the error for a response that is not a success
	keep         func(json.RawMessage) error
}

// run sends the request and prints the migration.
func (r request) run(a *cli.App, c *client) error {
	var raw json.RawMessage
	if err := c.call(context.Background(), r.method, r.path, r.body, &raw); err != nil {
		return withExitCode(err)
	}
	var m migration
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%s %s%s: invalid response: %w", r.method, c.baseURL, r.path, err)
	}
	if r.keep != nil {
		if err := r.keep(raw); err != nil {
			return err
		}
	}
	if !r.json {
		r.print(m)
	} else if _, err := fmt.Fprintf(a.Stdout, "%s\n", raw); err != nil {
		return err
	}
	return r.result(m)
}

func migrationPath(id string) string { return "/v1/migrations/" + url.PathEscape(id) }

// migrationQuery selects migrations. Empty fields match all.
type migrationQuery struct {
	From, To, Batch string
	States          []string
}

// String describes the query: " from klen to krosai".
func (q migrationQuery) String() (text string) {
	for _, part := range [][2]string{{" from ", q.From}, {" to ", q.To}, {" in the batch ", q.Batch}, {" in state ", strings.Join(q.States, ", ")}} {
		if part[1] != "" {
			text += part[0] + part[1]
		}
	}
	return text
}

// listMigrations returns all migrations that match, newest first.
func listMigrations(ctx context.Context, c *client, query migrationQuery) ([]migration, error) {
	q := url.Values{"limit": {"500"}}
	setQuery(q, "source_backend", query.From, "target_backend", query.To, "batch", query.Batch, "state", strings.Join(query.States, ","))
	return listAll[migration](ctx, c, "/v1/migrations", q)
}

// agentQuery selects agents of a backend. Empty fields but Backend and View match all.
type agentQuery struct{ Backend, View, Status, Text string }

// listedAgent is an agent in a list.
type listedAgent struct {
	ID, Name string
	raw      json.RawMessage
}

// UnmarshalJSON keeps the whole agent beside what is printed.
func (a *listedAgent) UnmarshalJSON(data []byte) error {
	var named struct {
		ID   string  `json:"id"`
		Name *string `json:"name"`
	}
	err := json.Unmarshal(data, &named)
	a.ID, a.Name, a.raw = named.ID, deref(named.Name), bytes.Clone(data)
	return err
}

// listAgents returns all agents that match.
func listAgents(ctx context.Context, c *client, query agentQuery) ([]listedAgent, error) {
	q := url.Values{"backend": {query.Backend}, "limit": {"500"}, "view": {query.View}, "require": {query.Backend}, "collapse_migrated": {"false"}}
	setQuery(q, "status", query.Status, "q", query.Text)
	return listAll[listedAgent](ctx, c, "/v1/agents", q)
}

// setQuery sets parameters, given as names and values, that are not empty.
func setQuery(q url.Values, namesAndValues ...string) {
	for i := 0; i < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			q.Set(namesAndValues[i], namesAndValues[i+1])
		}
	}
}

// listAll returns the items of all pages of a list.
func listAll[T any](ctx context.Context, c *client, path string, q url.Values) (all []T, err error) {
	for {
		var page struct {
			Data       []T     `json:"data"`
			NextCursor *string `json:"next_cursor"`
		}
		if err := c.call(ctx, "GET", path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.NextCursor == nil {
			return all, nil
		}
		q.Set("cursor", *page.NextCursor)
	}
}

// interruptible returns a context that ends with the first Ctrl-C. The second ends the
// process.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func exitErrorf(code int, format string, args ...any) error {
	return cli.Error{Err: fmt.Errorf(format, args...), Code: code}
}

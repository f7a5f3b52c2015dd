package migratecli

import (
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

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
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
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

type verification struct {
	OK            bool           `json:"ok"`
	SourceChanged bool           `json:"source_changed"`
	TargetChanged bool           `json:"target_changed"`
	Fields        []fieldVerdict `json:"fields"`
}

type fieldVerdict struct {
	Path    string `json:"path"`
	Verdict string `json:"verdict"`
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
	if !r.json {
		r.print(m)
	} else if _, err := fmt.Fprintf(a.Stdout, "%s\n", raw); err != nil {
		return err
	}
	return r.result(m)
}

func migrationPath(id string) string { return "/v1/migrations/" + url.PathEscape(id) }

// listMigrations returns all migrations that match, newest first. Empty arguments match all.
func listMigrations(ctx context.Context, c *client, from, to string, states []string) (all []migration, err error) {
	q := url.Values{"limit": {"500"}}
	for name, value := range map[string]string{"source_backend": from, "target_backend": to, "state": strings.Join(states, ",")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for {
		var page struct {
			Data       []migration `json:"data"`
			NextCursor *string     `json:"next_cursor"`
		}
		if err := c.call(ctx, "GET", "/v1/migrations?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.NextCursor == nil {
			return all, nil
		}
		q.Set("cursor", *page.NextCursor)
	}
}

// listedAgent is an agent in a list.
type listedAgent struct {
	ID  string
	raw json.RawMessage
}

// listAgents returns all agents of a backend.
func listAgents(ctx context.Context, c *client, backend, view string) (all []listedAgent, err error) {
	q := url.Values{"backend": {backend}, "limit": {"500"}, "view": {view}, "require": {backend}, "collapse_migrated": {"false"}}
	for {
		var page struct {
			Data       []json.RawMessage `json:"data"`
			NextCursor *string           `json:"next_cursor"`
		}
		if err := c.call(ctx, "GET", "/v1/agents?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, raw := range page.Data {
			var a struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(raw, &a); err != nil {
				return nil, err
			}
			all = append(all, listedAgent{a.ID, raw})
		}
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

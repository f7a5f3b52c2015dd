package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
)

// Migration is a migration in API responses. It has only the fields that are printed.
type Migration struct {
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
		Findings []Finding `json:"findings"`
	} `json:"plan"`
	Verification *Verification `json:"verification"`
	Shadow       *Shadow       `json:"shadow"`
	Manual       []Finding     `json:"manual"`
	Warnings     []Warning     `json:"warnings"`
	Trail        []AuditEntry  `json:"trail"`
}

// Finding says what becomes of one field.
type Finding struct {
	Path     string         `json:"path"`
	Kind     string         `json:"kind"`
	Severity string         `json:"severity"`
	Message  string         `json:"message"`
	Fix      string         `json:"fix,omitempty"`
	From     jsontext.Value `json:"from,omitempty"`
	To       jsontext.Value `json:"to,omitempty"`
}

// Verification is the result of comparing the target with the plan.
type Verification struct {
	OK            bool                  `json:"ok"`
	SourceChanged bool                  `json:"source_changed"`
	TargetChanged bool                  `json:"target_changed"`
	Fields        []migrate.FieldResult `json:"fields"`
}

// Shadow has the results of shadow reads.
type Shadow struct {
	Percent     int            `json:"percent"`
	Until       time.Time      `json:"until"`
	Reads       int            `json:"reads"`
	Differences map[string]int `json:"differences"`
	Note        string         `json:"note"`
}

// Warning is a warning of a step.
type Warning struct {
	Code    string  `json:"code"`
	Path    *string `json:"path"`
	Message string  `json:"message"`
}

// AuditEntry is an entry of the audit log.
type AuditEntry struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`
	State  string    `json:"state"`
	KeyID  string    `json:"key_id"`
	Detail string    `json:"detail"`
}

// Name returns the name of the source agent, empty if it has none.
func (m Migration) Name() string { return Deref(m.SourceName) }

// SourceBackend returns the backend of the source agent.
func (m Migration) SourceBackend() string {
	backend, _, _ := strings.Cut(m.Source, ":")
	return backend
}

// Deref returns the text, empty for nil.
func Deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// TargetText returns the id of the target agent, or the target backend until there is one.
func (m Migration) TargetText() string {
	if m.Target != nil {
		return *m.Target
	}
	return m.TargetBackend
}

// BlockingPaths returns the paths of the findings that keep a plan from being applied.
func (m Migration) BlockingPaths() []string {
	var paths []string
	for _, f := range m.Plan.Findings {
		if f.Severity == "blocking" {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// Hint names the flag that resolves a finding.
func (f Finding) Hint() string {
	switch field, isMap := strings.CutPrefix(f.Fix, "maps."); {
	case f.Fix == "":
		return ""
	case isMap:
		return fmt.Sprintf(" (--map, section %s)", field)
	case f.Fix == "architecture":
		return " (--architecture NAME)"
	default:
		return fmt.Sprintf(" (--set %s=VALUE)", strings.TrimPrefix(f.Fix, "inputs."))
	}
}

// MigrationPath returns the path of a migration in the API.
func MigrationPath(id string) string { return "/v1/migrations/" + url.PathEscape(id) }

// MigrationQuery selects migrations. Empty fields match all.
type MigrationQuery struct {
	From, To, Batch string
	States          []string
}

// String describes the query: " from klen to krosai".
func (q MigrationQuery) String() (text string) {
	for _, part := range [][2]string{{" from ", q.From}, {" to ", q.To}, {" in the batch ", q.Batch}, {" in state ", strings.Join(q.States, ", ")}} {
		if part[1] != "" {
			text += part[0] + part[1]
		}
	}
	return text
}

// Migrations returns all migrations that match, newest first.
func (c *Client) Migrations(ctx context.Context, query MigrationQuery) ([]Migration, error) {
	q := url.Values{"limit": {"500"}}
	setQuery(q, "source_backend", query.From, "target_backend", query.To, "batch", query.Batch, "state", strings.Join(query.States, ","))
	return listAll[Migration](ctx, c, "/v1/migrations", q)
}

// AgentQuery selects agents of a backend. Empty fields but Backend and View match all.
type AgentQuery struct{ Backend, View, Status, Text string }

// Agent is an agent in a list.
type Agent struct {
	ID, Name string
	Raw      json.RawMessage
}

// UnmarshalJSON keeps the whole agent beside what is printed.
func (a *Agent) UnmarshalJSON(data []byte) error {
	var named struct {
		ID   string  `json:"id"`
		Name *string `json:"name"`
	}
	err := json.Unmarshal(data, &named)
	a.ID, a.Name, a.Raw = named.ID, Deref(named.Name), bytes.Clone(data)
	return err
}

// Agents returns all agents that match.
func (c *Client) Agents(ctx context.Context, query AgentQuery) ([]Agent, error) {
	q := url.Values{"backend": {query.Backend}, "limit": {"500"}, "view": {query.View}, "require": {query.Backend}, "collapse_migrated": {"false"}}
	setQuery(q, "status", query.Status, "q", query.Text)
	return listAll[Agent](ctx, c, "/v1/agents", q)
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
func listAll[T any](ctx context.Context, c *Client, path string, q url.Values) (all []T, err error) {
	for {
		var page struct {
			Data       []T     `json:"data"`
			NextCursor *string `json:"next_cursor"`
		}
		if err := c.Call(ctx, "GET", path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.NextCursor == nil {
			return all, nil
		}
		q.Set("cursor", *page.NextCursor)
	}
}

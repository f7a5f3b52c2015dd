package admin

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/gateway/console"
	"github.com/agentgw/agentgw/gateway/migration"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// maxConsoleMigrations is the number of migrations that the console lists.
const maxConsoleMigrations = 200

// MigrationsState returns the newest migrations of all keys for the console, and the details
// of the one with this id. It contains the names of agents, states, findings and audit
// entries, but no other values of agents.
func MigrationsState(ctx context.Context, s *migration.Service, id string) console.Migrations {
	shown := console.Migrations{Now: time.Now().UTC(), List: []console.Migration{}}
	var counts map[string]int
	var rows []sqlstore.Migration
	if s.Store != nil {
		var countErr, listErr error
		counts, countErr = s.Store.CountMigrations(ctx)
		rows, listErr = s.Store.Migrations(ctx, sqlstore.MigrationQuery{Limit: maxConsoleMigrations})
		shown.Available = countErr == nil && listErr == nil
	}
	for _, state := range migrate.States() {
		shown.States = append(shown.States, console.StateCount{State: state, Count: counts[state]})
	}
	for _, row := range rows {
		m := console.Migration{ID: row.ID, State: row.State, Source: row.Source, Target: row.Target, KeyID: row.KeyID, UpdatedAt: row.UpdatedAt, Severities: map[string]int{}}
		if m.Target == "" {
			m.Target = row.TargetBackend
		}
		for _, severity := range migrate.Severities() {
			m.Severities[string(severity)] = 0
		}
		plan := s.StoredPlan(row)
		m.Name = plan.SourceName()
		for _, f := range plan.Findings {
			m.Severities[string(f.Severity)]++
		}
		shown.List = append(shown.List, m)
		if row.ID == id {
			shown.Chosen = migrationDetails(ctx, s, row, plan.Findings)
		}
	}
	return shown
}

func migrationDetails(ctx context.Context, s *migration.Service, row sqlstore.Migration, findings []migrate.Finding) *console.Details {
	details := &console.Details{ID: row.ID, Findings: []console.Finding{}, Trail: []console.MigrationStep{}}
	for _, f := range findings {
		details.Findings = append(details.Findings, console.Finding{Path: f.Path, Kind: string(f.Kind), Severity: string(f.Severity)})
	}
	entries, err := s.Store.AuditLog(ctx, row.ID)
	if err != nil {
		return details
	}
	for _, a := range entries {
		details.Trail = append(details.Trail, console.MigrationStep{At: a.At, Step: a.Step, State: a.State, KeyID: a.KeyID, Detail: a.Detail})
	}
	if !row.ShadowUntil.IsZero() {
		if counts, err := s.Store.ShadowCounts(ctx, row.ID); err == nil {
			details.Shadow = shadowSeries(row, counts, time.Now())
		}
	}
	return details
}

// The least and the greatest length of the console's charts of shadow reads, in minutes.
const (
	maxShadowMinutes = 120
	minShadowMinutes = 15
)

// shadowSeries returns the counts per minute. The series ends now, or with the last count if
// shadow reads are over.
func shadowSeries(row sqlstore.Migration, counts []sqlstore.ShadowCount, now time.Time) *console.Shadow {
	shown := &console.Shadow{Percent: row.ShadowPercent, Until: row.ShadowUntil, Reads: []int64{}, Fields: map[string][]int64{}}
	if len(counts) == 0 {
		return shown
	}
	last := now.Truncate(time.Minute)
	if row.ShadowPercent == 0 || now.After(row.ShadowUntil) {
		last = counts[len(counts)-1].Minute
	}
	first := counts[0].Minute
	if earliest := last.Add(-(maxShadowMinutes - 1) * time.Minute); first.Before(earliest) {
		first = earliest
	}
	if latest := last.Add(-(minShadowMinutes - 1) * time.Minute); first.After(latest) {
		first = latest
	}
	n := int(last.Sub(first)/time.Minute) + 1
	shown.Start, shown.Reads = first.Unix(), make([]int64, n)
	for _, c := range counts {
		i := int(c.Minute.Sub(first) / time.Minute)
		if i < 0 || i >= n {
			continue
		}
		if c.Field == "" {
			shown.Reads[i] += c.Count
			continue
		}
		if shown.Fields[c.Field] == nil {
			shown.Fields[c.Field] = make([]int64, n)
		}
		shown.Fields[c.Field][i] += c.Count
	}
	return shown
}

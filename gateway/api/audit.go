package api

import (
	"context"
	"log/slog"
	"strings"

	"github.com/agentgw/agentgw/normalize"
)

// write is what the audit log says about a request that may change something. Its methods do
// nothing if it is nil.
type write struct {
	operation string
	subject   string   // the agent's id, the alias or the migration, as the path has it
	fields    []string // JSON pointers of the fields: those that were sent, or else those of the request
	replayed  bool     // an earlier request with the same Idempotency-Key did it
	dryRun    bool
}

// newWrite returns nil for a route that changes nothing.
func newWrite(route *route, id string) *write {
	if route.operation == "" {
		return nil
	}
	return &write{operation: route.operation, subject: id}
}

// asked records what the request asks for.
func (w *write) asked(r *request) {
	if w == nil {
		return
	}
	w.dryRun = r.query["dry_run"] == "true"
	if strings.HasPrefix(w.operation, "agents.") {
		if body, _, err := normalize.ParseBody(r.body); err == nil {
			w.fields = body.Pointers()
		}
	}
}

// done records what was done.
func (w *write) done(r *response) {
	if w == nil {
		return
	}
	if strings.HasPrefix(w.operation, "agents.") {
		w.fields, w.replayed = r.changed, r.replayed
	}
	if r.subject != "" {
		w.subject = r.subject
	}
}

// audit logs a write: who did what to which agent, and the result. It contains no values.
func (s *Server) audit(ctx context.Context, r *requestState, status int) {
	w := r.write
	if w == nil || w.dryRun {
		return
	}
	result := "ok"
	switch {
	case r.code != "":
		result = string(r.code)
	case w.replayed:
		result = "replayed"
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.String("key_id", r.keyID), slog.String("operation", w.operation), slog.String("backend", r.backend()),
		slog.String("agent_id", r.about.ID), slog.String("subject", normalize.Shorten(w.subject)),
		slog.String("fields", strings.Join(w.fields, " ")), slog.String("result", result), slog.Int("status", status),
		slog.String("request_id", r.requestID), slog.String("client", r.client))
}

// backend returns the one backend that a request concerned; empty for none or several.
func (r *requestState) backend() string {
	if id, err := normalize.ParseID(r.about.ID); err == nil {
		return id.Backend
	}
	if len(r.sources) == 1 {
		return r.sources[0].Backend
	}
	return ""
}

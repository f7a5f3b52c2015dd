package problem

import (
	"time"

	"github.com/agentgw/agentgw/normalize"
)

// Source statuses.
const (
	SourceOK      = "ok"
	SourceStale   = "stale"
	SourcePartial = "partial"
	SourceError   = "error"
)

// Source is one backend's part of a list.
type Source struct {
	Backend     string              `json:"backend"`
	Status      string              `json:"status"`
	Count       int                 `json:"count"`
	FetchedAt   *time.Time          `json:"fetched_at,omitzero"`
	Unavailable *normalize.FieldSet `json:"unavailable,omitzero"`
	NotLoaded   *normalize.FieldSet `json:"not_loaded,omitzero"`
	// Unfiltered are the fields that a filter could not be applied to, because
	// some of this source's agents do not show them.
	Unfiltered *normalize.FieldSet `json:"unfiltered,omitzero"`
	Error      *SourceFailure      `json:"error,omitzero"`
}

// SourceFailure is why a source is not ok.
type SourceFailure struct {
	Code        Code `json:"code"`
	RetryAfterS *int `json:"retry_after_s"`
}

// Warning is something that a caller should know of an answer that is none the
// less good.
type Warning struct {
	Code    string  `json:"code"`
	Path    *string `json:"path"` // JSON pointer
	Backend *string `json:"backend"`
	Message string  `json:"message"`
}

func NewWarning(code, pointer, backend, message string) Warning {
	w := Warning{Code: code, Message: message}
	if pointer != "" {
		w.Path = &pointer
	}
	if backend != "" {
		w.Backend = &backend
	}
	return w
}

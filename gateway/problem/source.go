package problem

import (
	"fmt"
	"slices"
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

// Source describes what one backend contributed to a list.
type Source struct {
	Backend     string              `json:"backend"`
	Status      string              `json:"status"`
	Count       int                 `json:"count"`
	FetchedAt   *time.Time          `json:"fetched_at,omitzero"`
	Unavailable *normalize.FieldSet `json:"unavailable,omitzero"`
	NotLoaded   *normalize.FieldSet `json:"not_loaded,omitzero"`
	// Unfiltered are the fields of filters that were not applied, because some of this
	// backend's agents do not have them.
	Unfiltered *normalize.FieldSet `json:"unfiltered,omitzero"`
	Error      *SourceFailure      `json:"error,omitzero"`
}

// SourceFailure is why a source's status is not SourceOK.
type SourceFailure struct {
	Code        Code `json:"code"`
	RetryAfterS *int `json:"retry_after_s"`
}

// Warning tells a caller something about a successful response.
type Warning struct {
	Code    string  `json:"code"`
	Path    *string `json:"path"` // JSON pointer
	Backend *string `json:"backend"`
	Message string  `json:"message"`
}

// NewWarning returns a warning. The pointer and the backend may be empty.
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

// MaxWarnings bounds the warnings of one response.
const MaxWarnings = 100

// FromProvider returns warnings about a backend's reply as callers see them.
func FromProvider(backend string, warnings []normalize.Warning) []Warning {
	var out []Warning
	for _, w := range warnings {
		out = append(out, NewWarning(string(w.Code), w.Pointer, backend, w.Message))
	}
	return out
}

// BoundedWarnings returns the first limit of the warnings, and one that counts the others. It
// is never nil.
func BoundedWarnings(warnings []Warning, limit int) []Warning {
	more := len(warnings) - limit
	if more <= 0 {
		return append([]Warning{}, warnings...)
	}
	return append(slices.Clone(warnings[:limit]), NewWarning("more_warnings", "", "", fmt.Sprintf("%d more warnings are left out", more)))
}

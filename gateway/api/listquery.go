package api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// Bounds of the limit parameter. A larger value than maxLimit means maxLimit.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

var digits = regexp.MustCompile(`^[0-9]+$`)

// listQuery decodes the query of GET /v1/agents.
func (r *request) listQuery(providers []string) (agents.ListQuery, error) {
	q := agents.ListQuery{
		Backends: r.values("backend"), Providers: r.values("provider"), Require: r.values("require"),
		Query: r.filters(), IncludeRaw: r.includesRaw(), Limit: r.limit(), Collapse: r.flag("collapse_migrated"),
		Cursor: r.query["cursor"], NoCache: r.noCache,
	}
	for _, name := range q.Providers {
		if !slices.Contains(providers, name) {
			r.invalid("provider", "must be one of %s, got %q", strings.Join(providers, ", "), normalize.Shorten(name))
		}
	}
	if cursor, given := r.query["cursor"]; given && cursor == "" {
		r.invalid("cursor", "is empty; leave it out to get the first page")
	}
	switch view, given := r.query["view"]; {
	case view == string(normalize.ViewFull):
		q.Full = true
	case given && view != string(normalize.ViewBasic):
		r.invalid("view", "must be basic or full, got %q", normalize.Shorten(view))
	}
	q.RequireAll = slices.Contains(q.Require, "all") || r.handling() == "strict"
	q.Require = slices.DeleteFunc(q.Require, func(name string) bool { return name == "all" })
	return q, r.refusal()
}

// limit returns the size of a page.
func (r *request) limit() int {
	text, given := r.query["limit"]
	if !given {
		return defaultLimit
	}
	n, err := strconv.Atoi(text)
	if !digits.MatchString(text) || err == nil && n < 1 {
		r.invalid("limit", "must be an integer from 1 to %d, got %q", maxLimit, normalize.Shorten(text))
	}
	if err != nil { // out of the range of int
		n = maxLimit
	}
	return min(n, maxLimit)
}

// filters returns the filters, the search and the order of a list.
func (r *request) filters() catalog.Query {
	var q catalog.Query
	for _, f := range catalog.FilterFields() {
		values := r.values(f.Name())
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		values = slices.Compact(values) // equal filters have equal cursors and entity tags
		q.Filters = append(q.Filters, catalog.Filter{Field: f, Values: values})
		for _, v := range values {
			// The gateway itself derives the modality. The values of other fields are the
			// providers' own, so any is allowed.
			if known := normalize.KnownValues(f); f == normalize.FieldModality && !slices.Contains(known, v) {
				r.invalid("modality", "must be one of %s, got %q", strings.Join(known, ", "), normalize.Shorten(v))
			}
		}
	}
	if text, given := r.query["q"]; given {
		if q.Text = text; text == "" || strings.ContainsRune(text, 0) {
			r.invalid("q", "is empty or contains a NUL; leave it out, or send the text to search for")
		}
	}
	if text, given := r.query["order_by"]; given {
		var ok bool
		if q.Order, ok = catalog.ParseOrder(text); !ok {
			r.invalid("order_by", "must be one of %s, got %q; prefix it with - for descending order", strings.Join(catalog.OrderNames(), ", "), normalize.Shorten(text))
		}
	}
	return q
}

// values returns the comma-separated values of a parameter, or nil if it was not given.
func (r *request) values(name string) []string {
	text, ok := r.query[name]
	if !ok {
		return nil
	}
	var values []string
	for _, v := range strings.Split(text, ",") {
		if v = strings.TrimSpace(v); v == "" {
			r.invalid(name, "has an empty value; leave the parameter out, or separate its values with single commas")
			return nil
		}
		values = append(values, v)
	}
	return values
}

package api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Bounds of the limit parameter. A larger value than maxLimit means maxLimit.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

var digits = regexp.MustCompile(`^[0-9]+$`)

// listQuery decodes the query of GET /v1/agents.
func (r *request) listQuery() (agents.ListQuery, error) {
	q := agents.ListQuery{Limit: defaultLimit, Cursor: r.query["cursor"], NoCache: r.noCache}
	var err error
	if q.Backends, err = r.values("backend"); err != nil {
		return q, err
	}
	if q.Providers, err = r.values("provider"); err != nil {
		return q, err
	}
	if q.Require, err = r.values("require"); err != nil {
		return q, err
	}
	if q.Query, err = r.filters(); err != nil {
		return q, err
	}
	if q.IncludeRaw, err = r.includesRaw(); err != nil {
		return q, err
	}
	if q.Limit, err = r.limit(); err != nil {
		return q, err
	}
	if q.Collapse, err = r.flag("collapse_migrated"); err != nil {
		return q, err
	}
	if cursor, given := r.query["cursor"]; given && cursor == "" {
		return q, problem.New(problem.CodeInvalidParameter, "cursor is empty; leave it out to get the first page")
	}
	switch view, given := r.query["view"]; {
	case view == string(normalize.ViewFull):
		q.Full = true
	case given && view != string(normalize.ViewBasic):
		return q, problem.New(problem.CodeInvalidParameter, "view=%q: must be basic or full", normalize.Shorten(view))
	}
	q.RequireAll = slices.Contains(q.Require, "all") || r.handling() == "strict"
	q.Require = slices.DeleteFunc(q.Require, func(name string) bool { return name == "all" })
	return q, nil
}

// limit returns the size of a page.
func (r *request) limit() (int, error) {
	text, given := r.query["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if !digits.MatchString(text) || err == nil && n < 1 {
		return 0, problem.New(problem.CodeInvalidParameter, "limit=%q: must be an integer from 1 to %d", normalize.Shorten(text), maxLimit)
	}
	if err != nil { // out of the range of int
		n = maxLimit
	}
	return min(n, maxLimit), nil
}

// filters returns the filters, the search and the order of a list.
func (r *request) filters() (catalog.Query, error) {
	var q catalog.Query
	for _, f := range catalog.FilterFields() {
		values, err := r.values(f.Name())
		if err != nil {
			return q, err
		}
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
				return q, problem.New(problem.CodeInvalidParameter, "modality=%q: must be one of %s", normalize.Shorten(v), strings.Join(known, ", "))
			}
		}
	}
	if text, given := r.query["q"]; given {
		if q.Text = text; text == "" || strings.ContainsRune(text, 0) {
			return q, problem.New(problem.CodeInvalidParameter, "q is empty or contains a NUL; leave it out, or send the text to search for")
		}
	}
	if text, given := r.query["order_by"]; given {
		var ok bool
		if q.Order, ok = catalog.ParseOrder(text); !ok {
			return q, problem.New(problem.CodeInvalidParameter, "order_by=%q: must be one of %s; prefix it with - for descending order", normalize.Shorten(text), strings.Join(catalog.OrderNames(), ", "))
		}
	}
	return q, nil
}

// values returns the comma-separated values of a parameter, or nil if it was not given.
func (r *request) values(name string) ([]string, error) {
	text, ok := r.query[name]
	if !ok {
		return nil, nil
	}
	var values []string
	for _, v := range strings.Split(text, ",") {
		if v = strings.TrimSpace(v); v == "" {
			return nil, problem.New(problem.CodeInvalidParameter, "%s has an empty value; leave the parameter out, or separate its values with single commas", name)
		}
		values = append(values, v)
	}
	return values, nil
}

package migration

import (
	"context"

	"github.com/go-json-experiment/json"

	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// Get returns a migration. It changes nothing.
func (s *Service) Get(ctx context.Context, r Request) (*View, error) {
	if err := s.Aliases.Available(); err != nil {
		return nil, err
	}
	m, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	return m.view(ctx)
}

// List returns a page of the migrations that the caller can see, the newest first, and the
// value of q.After for the next page, empty if this is the last one.
func (s *Service) List(ctx context.Context, r Request, q sqlstore.MigrationQuery) (list []Summary, next string, err error) {
	if err := s.Aliases.Available(); err != nil {
		return nil, "", err
	}
	limit := q.Limit
	list = []Summary{}
	for {
		q.Limit = limit + 1
		rows, err := s.Store.Migrations(ctx, q)
		if err != nil {
			return nil, "", problem.StoreUnavailable(err)
		}
		for _, row := range rows {
			if len(list) == limit {
				return list, q.After, nil
			}
			q.After = row.ID
			if m, visible := s.openRow(r, row); visible {
				list = append(list, m.summary())
			}
		}
		if len(rows) < q.Limit {
			return list, "", nil
		}
	}
}

// StoredPlan returns a migration's plan; an empty one if its document cannot be decrypted.
func (s *Service) StoredPlan(row sqlstore.Migration) migrate.Plan {
	var doc document
	opened, err := s.Cipher.Open(row.ID, row.Document)
	if err != nil || json.Unmarshal(opened, &doc) != nil {
		return migrate.Plan{}
	}
	return doc.plan()
}

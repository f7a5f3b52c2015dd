package migratecli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// selection says which migrations a step applies to: those that are named by id, or all that
// match a scope.
type selection struct {
	client.Flags
	IDs             []string
	File            string
	All             bool
	From, To, Batch string
	Limit           int
	batchFlags

	planHashes map[string]string // by migration: of the plans in a file, for apply
}

func (s *selection) define(c *cobra.Command) {
	s.Flags.Define(c)
	f := c.Flags()
	f.StringVar(&s.File, "ids", "", "Migrations from a `FILE` with one id per line; text after a # is a comment.")
	f.StringVar(&s.Batch, "batch", "", "All migrations of the batch `NAME` for which this is the next step; agentgw migrate plan prints the name.")
	f.BoolVar(&s.All, "all", false, "All migrations for which this is the next step, within --from, --to and --batch; at least one of them is required.")
	f.StringVar(&s.From, "from", "", "With --all or --batch: only migrations from this `BACKEND`.")
	f.StringVar(&s.To, "to", "", "With --all or --batch: only migrations to this `BACKEND`.")
	f.IntVar(&s.Limit, "limit", 0, "With --all, --batch or --ids: at most `N` migrations, for a trial with a few.")
	s.batchFlags.define(c)
}

// single reports whether the selection is one migration, named on the command line.
func (s *selection) single() bool { return len(s.IDs) == 1 && s.File == "" }

// scoped reports whether the selection is a scope rather than names.
func (s *selection) scoped() bool { return s.All || s.Batch != "" }

func (s *selection) check() error {
	named := len(s.IDs) > 0 || s.File != ""
	switch {
	case !named && !s.scoped():
		return cli.UsageErrorf("name migrations (agentgw migrate status lists them), or use --batch NAME, --ids FILE, or --all with --from or --to")
	case named && s.scoped():
		return cli.UsageErrorf("name migrations, or use --all or --batch, not both")
	case s.All && s.From == "" && s.To == "" && s.Batch == "":
		return cli.UsageErrorf("--all needs a scope: add --from BACKEND, --to BACKEND or --batch NAME")
	case !s.scoped() && (s.From != "" || s.To != ""):
		return cli.UsageErrorf("--from and --to require --all or --batch")
	case s.Limit < 0:
		return cli.UsageErrorf("--limit %d: want a positive number", s.Limit)
	case s.Limit > 0 && s.single():
		return cli.UsageErrorf("--limit requires --all, --batch or --ids")
	}
	return s.batchFlags.check(!s.single())
}

// resolve returns the selected migrations, oldest first. If a scope contains migrations, but
// none in one of the states, the list is empty.
func (s *selection) resolve(ctx context.Context, c *client.Client, states []string) ([]client.Migration, error) {
	var selected []client.Migration
	var err error
	if s.scoped() {
		selected, err = s.inScope(ctx, c, states)
		slices.Reverse(selected)
	} else {
		selected, err = s.named(ctx, c)
	}
	if err == nil && s.Limit > 0 && len(selected) > s.Limit {
		selected = selected[:s.Limit]
	}
	return selected, err
}

// inScope returns the migrations within the scope that are in one of the states, newest first.
// A scope without any migration is an error: it may be misspelled.
func (s *selection) inScope(ctx context.Context, c *client.Client, states []string) ([]client.Migration, error) {
	query := client.MigrationQuery{From: s.From, To: s.To, Batch: s.Batch}
	all, err := c.Migrations(ctx, query)
	if err != nil {
		return nil, withExitCode(err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there are no migrations%s; agentgw migrate status lists all", query)
	}
	return slices.DeleteFunc(all, func(m client.Migration) bool { return !slices.Contains(states, m.State) }), nil
}

// named returns the migrations with the selection's ids. It is an error if one is unknown.
func (s *selection) named(ctx context.Context, c *client.Client) ([]client.Migration, error) {
	ids, err := namesIn(s.IDs, s.File)
	if err != nil {
		return nil, err
	}
	var found []client.Migration
	var unknown []string
	for _, id := range ids {
		var m client.Migration
		if !strings.HasPrefix(id, "mig_") {
			return nil, cli.UsageErrorf("%q is not the id of a migration (mig_…); to select what was planned together, use --batch", id)
		}
		err := c.Call(ctx, "GET", client.MigrationPath(id), nil, &m)
		if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "migration_not_found" {
			unknown = append(unknown, id)
			continue
		}
		if err != nil {
			return nil, withExitCode(err)
		}
		found = append(found, m)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("migration_not_found: nothing was done, because the key can see no migration %s", strings.Join(unknown, ", "))
	}
	return found, nil
}

// namesIn returns the arguments and the lines of a file, which may be "", without duplicates.
func namesIn(args []string, file string) ([]string, error) {
	names := slices.Clone(args)
	if file != "" {
		f, err := os.Open(cli.AbsolutePath(file))
		if err != nil {
			return nil, cli.UsageErrorf("--ids: %w", err)
		}
		defer func() { _ = f.Close() }()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			text, _, _ := strings.Cut(lines.Text(), "#")
			if text = strings.TrimSpace(text); text != "" {
				names = append(names, text)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, cli.UsageErrorf("--ids %s: %w", file, err)
		}
		if len(names) == len(args) {
			return nil, cli.UsageErrorf("--ids %s: the file names nothing", file)
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	}), nil
}

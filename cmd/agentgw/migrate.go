package main

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

	"github.com/spf13/cobra"
)

// Exit codes of migrate, beside those of every command.
const (
	exitLoss    = 3 // there is a loss to accept
	exitMissing = 4 // input is missing, or the plan is blocked
	exitDrift   = 5 // the source, the target or the alias is not as it was
)

// exitError ends the command with a code of its own.
type exitError struct {
	error
	code int
}

func newMigrate(a *app) *cobra.Command {
	group := newGroup("migrate", "Move agents from one backend to another, while clients notice nothing.",
		newMigratePlan(a), newMigrateMaps(a), newMigrateApply(a), newMigrateVerify(a),
		newMigrateShadow(a), newMigrateCutover(a), newMigrateRollback(a), newMigrateStatus(a),
	)
	group.Long = group.Short + `

It asks a running gateway, with a key that has the scope migrations:write.
docs/migrating.md goes through a whole move.

Exit codes:
  0  done
  1  an error
  2  the command line is wrong
  3  a loss is to be accepted
  4  input is missing, or the plan is blocked
  5  drift: the source or the target is not as it was`
	return group
}

// migration is one as the API has it; only what is printed.
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
	Verification *struct {
		OK            bool      `json:"ok"`
		SourceChanged bool      `json:"source_changed"`
		TargetChanged bool      `json:"target_changed"`
		Fields        []checked `json:"fields"`
	} `json:"verification"`
	Shadow *struct {
		Percent     int            `json:"percent"`
		Until       time.Time      `json:"until"`
		Reads       int            `json:"reads"`
		Differences map[string]int `json:"differences"`
		Note        string         `json:"note"`
	} `json:"shadow"`
	Manual   []finding `json:"manual"`
	Warnings []struct {
		Code    string  `json:"code"`
		Path    *string `json:"path"`
		Message string  `json:"message"`
	} `json:"warnings"`
	Trail []struct {
		At     time.Time `json:"at"`
		Step   string    `json:"step"`
		State  string    `json:"state"`
		KeyID  string    `json:"key_id"`
		Detail string    `json:"detail"`
	} `json:"trail"`
}

type finding struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

type checked struct {
	Path    string `json:"path"`
	Verdict string `json:"verdict"`
}

// single makes one call, and prints its answer.
func single(a *app, c *api, method, path string, body any, asJSON bool, print func(migration), ends func(migration) error) error {
	var raw json.RawMessage
	if err := c.call(context.Background(), method, path, body, &raw); err != nil {
		return coded(err)
	}
	var m migration
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("the gateway's answer cannot be read: %w", err)
	}
	if !asJSON {
		print(m)
	} else if _, err := fmt.Fprintf(a.stdout, "%s\n", raw); err != nil {
		return err
	}
	return ends(m)
}

// coded gives a problem the code that the command ends with.
func coded(err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		return err
	}
	switch p.Code {
	case "loss_not_accepted":
		return exitError{err, exitLoss}
	case "migration_blocked":
		return exitError{err, exitMissing}
	case "plan_stale", "target_diverged", "alias_conflict":
		return exitError{err, exitDrift}
	}
	return err
}

type statusCommand struct {
	serverFlags
	ID       string
	State    []string
	From, To string
	JSON     bool
}

func newMigrateStatus(a *app) *cobra.Command {
	var s statusCommand
	c := newCommand("status [MIGRATION]", "Show migrations, or one with its plan and trail.", cobra.MaximumNArgs(1), func(args []string) error {
		s.ID = first(args)
		return s.run(a)
	})
	s.define(c)
	flags := c.Flags()
	flags.StringSliceVar(&s.State, "state", nil, "Only those in one of these `STATES`.")
	flags.StringVar(&s.From, "from", "", "Only of agents of this `BACKEND`.")
	flags.StringVar(&s.To, "to", "", "Only to this `BACKEND`.")
	jsonFlag(c, &s.JSON)
	return c
}

func (s *statusCommand) run(a *app) error {
	c, err := s.connect(a)
	if err != nil {
		return err
	}
	if s.ID != "" {
		return single(a, c, "GET", "/v1/migrations/"+url.PathEscape(s.ID), nil, s.JSON, func(m migration) {
			printPlan(a, m)
			printStep(a, m, "status")
		}, func(migration) error { return nil })
	}
	all, err := migrations(context.Background(), c, s.From, s.To, given(s.State))
	if err != nil {
		return coded(err)
	}
	if s.JSON {
		out, err := marshal(map[string]any{"object": "list", "data": all})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", out)
		return err
	}
	return printMigrations(a, all)
}

// migrations are all those asked for, the newest first.
func migrations(ctx context.Context, c *api, from, to string, states []string) (all []migration, err error) {
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

// interruptible ends with the first Ctrl-C; a second one ends the process.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

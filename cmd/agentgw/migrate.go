package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/normalize"
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

// wishFlags are what a plan heeds.
type wishFlags struct {
	To, Architecture    string
	Set, Map, Transform []string
}

func (w *wishFlags) define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&w.To, "to", "", "The `BACKEND` to move to. Required.")
	flags.StringVar(&w.Architecture, "architecture", "", "`NAME` of the new agent's architecture, where the vendor has several.")
	flags.StringArrayVar(&w.Set, "set", nil, "A value of the new agent, as `FIELD=VALUE`, such as model.id=gpt-4o; FIELD=@FILE reads it from a file. May be given again.")
	flags.StringArrayVar(&w.Map, "map", nil, "A `FILE` of maps; see: agentgw migrate maps. May be given again.")
	flags.StringSliceVar(&w.Transform, "transform", nil, "A change by `NAME`: with greeting_to_prompt, a greeting without a place becomes a part of the system prompt.")
	required(c, "to")
}

// body is the plan's request, without its source.
func (w wishFlags) body() (map[string]any, error) {
	body := map[string]any{"target_backend": w.To}
	if w.Architecture != "" {
		body["architecture"] = w.Architecture
	}
	inputs := map[string]any{}
	for _, set := range w.Set {
		name, text, ok := strings.Cut(set, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %q: want FIELD=VALUE, such as model.id=gpt-4o", set)}
		}
		if file, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, usageError{fmt.Errorf("--set %s: %w", name, err)}
			}
			text = strings.TrimSuffix(string(data), "\n")
		}
		inputs[name] = inputValue(name, text)
	}
	if len(inputs) > 0 {
		body["inputs"] = inputs
	}
	maps := map[string]map[string]any{}
	for _, file := range w.Map {
		if err := readMaps(fullPath(file), maps); err != nil {
			return nil, err
		}
	}
	if len(maps) > 0 {
		body["maps"] = maps
	}
	if named := given(w.Transform); len(named) > 0 {
		body["transforms"] = named
	}
	return body, nil
}

// inputValue is text as the field's type has it: a string, unless the field is none.
func inputValue(name, text string) any {
	f, ok := normalize.FieldByName(name)
	if ok && f.Type() == normalize.TypeString || !json.Valid([]byte(text)) {
		return text
	}
	return json.RawMessage(text)
}

// readMaps adds a file's maps. A value that was not filled in is an error; null says that
// there is none.
func readMaps(file string, into map[string]map[string]any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return usageError{fmt.Errorf("--map: %w", err)}
	}
	var maps map[string]map[string]any
	if err := yaml.Unmarshal(data, &maps); err != nil {
		return usageError{fmt.Errorf("--map %s: want fields, each with values and what they are at the target: %w", file, err)}
	}
	for field, names := range maps {
		if into[field] == nil {
			into[field] = map[string]any{}
		}
		for from, to := range names {
			if to == "" {
				return exitError{fmt.Errorf("%s: %s: %q is not filled in; null says that the target has none", file, field, from), exitMissing}
			}
			into[field][from] = to
		}
	}
	return nil
}

// chosenFlags say which migrations a step is done with.
type chosenFlags struct {
	serverFlags
	ID       string
	All      bool
	From, To string
	batchFlags
}

// newStep is a command that takes a step of the migrations that f says.
func newStep(name, short string, f *chosenFlags, run func() error) *cobra.Command {
	c := newCommand(name+" [MIGRATION]", short, cobra.MaximumNArgs(1), func(args []string) error {
		f.ID = first(args)
		return run()
	})
	f.serverFlags.define(c)
	flags := c.Flags()
	flags.BoolVar(&f.All, "all", false, "All for which the step is the next, instead of one.")
	flags.StringVar(&f.From, "from", "", "With --all: only of agents of this `BACKEND`.")
	flags.StringVar(&f.To, "to", "", "With --all: only to this `BACKEND`.")
	f.batchFlags.define(c)
	return c
}

// first is the first argument, "" if there is none.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (c chosenFlags) check() error {
	if (c.ID == "") == !c.All {
		return usageError{errors.New("name a migration (agentgw migrate status lists them), or --all")}
	}
	if !c.All && (c.From != "" || c.To != "") {
		return usageError{errors.New("--from and --to go with --all")}
	}
	return c.batchFlags.check(c.All)
}

type planCommand struct {
	serverFlags
	wishFlags
	Source string
	All    bool
	From   string
	batchFlags
}

func newMigratePlan(a *app) *cobra.Command {
	var p planCommand
	c := newCommand("plan [AGENT] --to BACKEND", "Say what becomes of every field of an agent, such as klen:123, at another backend. Writes to no backend.", cobra.MaximumNArgs(1), func(args []string) error {
		p.Source = first(args)
		return p.run(a)
	})
	p.serverFlags.define(c)
	p.wishFlags.define(c)
	c.Flags().BoolVar(&p.All, "all", false, "All agents of a backend (--from).")
	c.Flags().StringVar(&p.From, "from", "", "With --all: the `BACKEND` whose agents are planned.")
	p.batchFlags.define(c)
	return c
}

func (p *planCommand) run(a *app) error {
	if (p.Source == "") == !p.All || p.All && p.From == "" {
		return usageError{errors.New("name an agent, such as klen:123, or --all and --from BACKEND")}
	}
	if p.From != "" && !p.All {
		return usageError{errors.New("--from goes with --all; an agent's id says where it is")}
	}
	if err := p.batchFlags.check(p.All); err != nil {
		return err
	}
	body, err := p.body()
	if err != nil {
		return err
	}
	c, err := p.connect(a)
	if err != nil {
		return err
	}
	if p.All {
		return planAll(a, c, p.From, p.To, body, p.batchFlags)
	}
	body["source"] = p.Source
	return single(a, c, "POST", "/v1/migrations", body, p.JSON, func(m migration) { printPlan(a, m) }, planCode)
}

// planCode is what a plan ends with: nothing, if it can be applied as it is.
func planCode(m migration) error {
	switch {
	case m.State != "ready":
		return exitError{fmt.Errorf("the plan is %s: give what is blocking, and plan again", m.State), exitMissing}
	case len(m.Losses) > 0:
		return exitError{fmt.Errorf("to apply it, accept what is lost:\n  agentgw migrate apply %s %s", m.ID, acceptFlags(m.Losses)), exitLoss}
	}
	return nil
}

func acceptFlags(losses []string) string {
	var flags []string
	for _, l := range losses {
		flags = append(flags, "--accept "+l)
	}
	return strings.Join(flags, " ")
}

type applyCommand struct {
	chosenFlags
	Accept []string
}

func newMigrateApply(a *app) *cobra.Command {
	var s applyCommand
	c := newStep("apply", "Make the target, inactive where the vendor can; exactly one, however often this is run.", &s.chosenFlags, func() error { return s.run(a) })
	c.Flags().StringArrayVar(&s.Accept, "accept", nil, "A loss that is accepted, by its name, such as `data_loss:/PATH`. May be given again.")
	return c
}

func (s *applyCommand) run(a *app) error {
	for _, name := range s.Accept {
		if !strings.HasPrefix(name, "data_loss:/") {
			return usageError{fmt.Errorf("--accept %q: want the name of a loss, such as data_loss:/avatar; plan lists them", name)}
		}
	}
	return s.step(a, "apply", func(m migration) any {
		for _, name := range s.Accept {
			if !s.All && !slices.Contains(m.Losses, name) {
				fmt.Fprintf(a.stderr, "%s is no loss of this plan\n", name)
			}
		}
		return map[string]any{"plan_hash": m.PlanHash, "accept": s.Accept}
	})
}

func newMigrateVerify(a *app) *cobra.Command {
	var chosen chosenFlags
	var accept []string
	c := newStep("verify", "Compare the target with the plan, field by field.", &chosen, func() error {
		return chosen.step(a, "verify", func(migration) any { return map[string]any{"accept": append([]string{}, accept...)} })
	})
	c.Flags().StringArrayVar(&accept, "accept", nil, "A difference that is none, as `VERDICT:/PATH`, such as mismatch:/voice/id where the vendor writes it its own way. May be given again.")
	return c
}

func newMigrateShadow(a *app) *cobra.Command {
	var chosen chosenFlags
	var percent int
	var howLong string
	c := newStep("shadow", "Have a share of the reads of the source read the target too, and count what differs.", &chosen, func() error {
		return chosen.step(a, "shadow", func(migration) any { return map[string]any{"percent": percent, "for": howLong} })
	})
	c.Flags().IntVar(&percent, "percent", 10, "The share of reads, `N` of a hundred; 0 ends it.")
	c.Flags().StringVar(&howLong, "for", "1h", "`HOW` long, such as 90m or 24h.")
	return c
}

func newMigrateCutover(a *app) *cobra.Command {
	var chosen chosenFlags
	var activate, noActivate bool
	c := newStep("cutover", "Activate the target, and lead the source's ids to it.", &chosen, func() error {
		return chosen.step(a, "cutover", func(migration) any {
			if activate || noActivate {
				return map[string]any{"activate": activate}
			}
			return map[string]any{} // as the source is
		})
	})
	c.Flags().BoolVar(&activate, "activate", false, "Activate the target, whatever the source is; also after a cutover that did not.")
	c.Flags().BoolVar(&noActivate, "no-activate", false, "Leave the target inactive.")
	c.MarkFlagsMutuallyExclusive("activate", "no-activate")
	return c
}

func newMigrateRollback(a *app) *cobra.Command {
	var chosen chosenFlags
	var deleteTarget, abandon bool
	c := newStep("rollback", "Lead the source's ids back to it, and let the target rest.", &chosen, func() error {
		var resting []string
		if deleteTarget {
			resting = append(resting, "rolled_back")
		}
		return chosen.step(a, "rollback", func(migration) any {
			return map[string]any{"delete_target": deleteTarget, "abandon": abandon}
		}, resting...)
	})
	c.Flags().BoolVar(&deleteTarget, "delete-target", false, "Delete the target, if nobody changed it.")
	c.Flags().BoolVar(&abandon, "abandon", false, "Give up a migration of which nobody can find out any more whether it made a target.")
	return c
}

// step does a step, of one migration or of all for which it is the next.
// More are states in which it can be done with all, beside those.
func (c chosenFlags) step(a *app, step string, body func(migration) any, more ...string) error {
	if err := c.check(); err != nil {
		return err
	}
	gateway, err := c.connect(a)
	if err != nil {
		return err
	}
	if c.All {
		return stepAll(a, gateway, c, step, body, append(more, nextStates[step]...))
	}
	path := "/v1/migrations/" + url.PathEscape(c.ID)
	var before migration
	if step == "apply" { // it names the plan
		if err := gateway.call(context.Background(), "GET", path, nil, &before); err != nil {
			return coded(err)
		}
	}
	var content any
	if body != nil {
		content = body(before)
	}
	return single(a, gateway, "POST", path+"/"+step, content, c.JSON, func(m migration) { printStep(a, m, step) }, func(m migration) error { return stepCode(m, step) })
}

// stepCode is what a step ends with that was done: a verification may say that it is not
// as it should be.
func stepCode(m migration, step string) error {
	if v := m.Verification; step == "verify" && v != nil && !v.OK {
		return exitError{errors.New("the target is not as planned, or the source was changed"), exitDrift}
	}
	return nil
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

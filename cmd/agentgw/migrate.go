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

type migrateCmd struct {
	Plan     planCmd     `cmd:"" help:"Say what becomes of every field of an agent at another backend. Writes to no backend."`
	Maps     mapsCmd     `cmd:"" help:"Start a file of maps: what voices, models and the like are at the target."`
	Apply    applyCmd    `cmd:"" help:"Make the target, inactive where the vendor can; exactly one, however often this is run."`
	Verify   verifyCmd   `cmd:"" help:"Compare the target with the plan, field by field."`
	Shadow   shadowCmd   `cmd:"" help:"Have a share of the reads of the source read the target too, and count what differs."`
	Cutover  cutoverCmd  `cmd:"" help:"Activate the target, and lead the source's ids to it."`
	Rollback rollbackCmd `cmd:"" help:"Lead the source's ids back to it, and let the target rest."`
	Status   statusCmd   `cmd:"" help:"Show migrations, or one with its plan and trail."`
}

// Help is shown below the list of commands.
func (migrateCmd) Help() string {
	return `Asks a running gateway, with a key that has the scope migrations:write.
Exit codes: 0 done, 1 error, 2 usage, 3 a loss is to be accepted, 4 input is missing or the plan is blocked, 5 drift (the source or the target is not as it was).
docs/migrating.md goes through a whole move.`
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
	To           string   `required:"" placeholder:"BACKEND" help:"The backend to move to."`
	Architecture string   `placeholder:"NAME" help:"Of the new agent, where the vendor has several."`
	Set          []string `sep:"none" placeholder:"FIELD=VALUE" help:"A value of the new agent, such as model.id=gpt-4o; @FILE reads it from a file. May be given again."`
	Map          []string `sep:"none" type:"existingfile" placeholder:"FILE" help:"A file of maps; see: agentgw migrate maps. May be given again."`
	Transform    []string `placeholder:"NAME" help:"greeting_to_prompt: a greeting without a place becomes a part of the system prompt."`
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
		if err := readMaps(file, maps); err != nil {
			return nil, err
		}
	}
	if len(maps) > 0 {
		body["maps"] = maps
	}
	if len(w.Transform) > 0 {
		body["transforms"] = w.Transform
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
	ID   string `arg:"" optional:"" placeholder:"mig_…" help:"The migration."`
	All  bool   `help:"All for which the step is the next, instead of one."`
	From string `placeholder:"BACKEND" help:"With --all: only of agents of this backend."`
	To   string `placeholder:"BACKEND" help:"With --all: only to this backend."`
	batchFlags
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

type planCmd struct {
	serverFlags
	wishFlags
	Source string `arg:"" optional:"" help:"The agent, such as klen:123."`
	All    bool   `help:"All agents of a backend (--from)."`
	From   string `placeholder:"BACKEND" help:"With --all: the backend whose agents are planned."`
	batchFlags
}

func (p *planCmd) Run(a *app) error {
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

type applyCmd struct {
	chosenFlags
	Accept []string `sep:"none" placeholder:"data_loss:/PATH" help:"A loss that is accepted, by its name. May be given again."`
}

func (s *applyCmd) Run(a *app) error {
	for _, name := range s.Accept {
		if !strings.HasPrefix(name, "data_loss:/") {
			return usageError{fmt.Errorf("--accept %q: want the name of a loss, such as data_loss:/avatar; plan lists them", name)}
		}
	}
	return s.run(a, "apply", func(m migration) any {
		for _, name := range s.Accept {
			if !s.All && !slices.Contains(m.Losses, name) {
				fmt.Fprintf(a.stderr, "%s is no loss of this plan\n", name)
			}
		}
		return map[string]any{"plan_hash": m.PlanHash, "accept": s.Accept}
	})
}

type verifyCmd struct {
	chosenFlags
	Accept []string `sep:"none" placeholder:"VERDICT:/PATH" help:"A difference that is none, such as mismatch:/voice/id where the vendor writes it its own way. May be given again."`
}

func (s *verifyCmd) Run(a *app) error {
	return s.run(a, "verify", func(migration) any { return map[string]any{"accept": append([]string{}, s.Accept...)} })
}

type shadowCmd struct {
	chosenFlags
	Percent int    `default:"10" help:"The share of reads; 0 ends it."`
	For     string `default:"1h" help:"How long."`
}

func (s *shadowCmd) Run(a *app) error {
	return s.run(a, "shadow", func(migration) any { return map[string]any{"percent": s.Percent, "for": s.For} })
}

type cutoverCmd struct {
	chosenFlags
	Activate   bool `xor:"activate" help:"Activate the target, whatever the source is; also after a cutover that did not."`
	NoActivate bool `xor:"activate" help:"Leave the target inactive."`
}

func (s *cutoverCmd) Run(a *app) error {
	return s.run(a, "cutover", func(migration) any {
		if s.NoActivate {
			return map[string]any{"activate": false}
		}
		if s.Activate {
			return map[string]any{"activate": true}
		}
		return map[string]any{}
	})
}

type rollbackCmd struct {
	chosenFlags
	DeleteTarget bool `help:"Delete the target, if nobody changed it."`
	Abandon      bool `help:"Give up a migration of which nobody can find out any more whether it made a target."`
}

func (s *rollbackCmd) Run(a *app) error {
	var resting []string
	if s.DeleteTarget {
		resting = append(resting, "rolled_back")
	}
	return s.run(a, "rollback", func(migration) any {
		return map[string]any{"delete_target": s.DeleteTarget, "abandon": s.Abandon}
	}, resting...)
}

// run does a step, of one migration or of all for which it is the next.
// More are states in which it can be done with all, beside those.
func (c chosenFlags) run(a *app, step string, body func(migration) any, more ...string) error {
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

type statusCmd struct {
	serverFlags
	ID    string   `arg:"" optional:"" placeholder:"mig_…" help:"One migration; left out, all of them."`
	State []string `help:"Only those in one of these states."`
	From  string   `placeholder:"BACKEND" help:"Only of agents of this backend."`
	To    string   `placeholder:"BACKEND" help:"Only to this backend."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

func (s *statusCmd) Run(a *app) error {
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
	all, err := migrations(context.Background(), c, s.From, s.To, s.State)
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

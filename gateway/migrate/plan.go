// Package migrate works out what becomes of an agent at another backend: of every field
// that it has, exactly once, and what is missing.
//
// It must not know HTTP, the store, or any vendor: what vendors hold is in their
// adapters.Info. Nothing here asks anybody.
package migrate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Kind is what becomes of a field.
type Kind string

// What can become of a field.
const (
	Exact       Kind = "exact"        // it is the same there
	Approximate Kind = "approximate"  // nearly; the message says how
	Manual      Kind = "manual"       // a map, or a person, must say what it is there
	NeedsInput  Kind = "needs_input"  // the target requires it, and the source has none that will do
	Unsupported Kind = "unsupported"  // the target has no place for it: it is lost
	NotMigrated Kind = "not_migrated" // it is of the source: usage, times, owner
)

// Kinds is every kind, in order.
func Kinds() []Kind {
	return []Kind{Exact, Approximate, Manual, NeedsInput, Unsupported, NotMigrated}
}

// Severity is how much a finding matters.
type Severity string

// How much a finding can matter.
const (
	Info     Severity = "info"
	Warn     Severity = "warn"
	DataLoss Severity = "data_loss" // must be accepted by name
	Blocking Severity = "blocking"  // cannot be accepted
)

// Severities is every severity, in order.
func Severities() []Severity { return []Severity{Info, Warn, DataLoss, Blocking} }

// Finding is what becomes of one field. Path is a JSON pointer (RFC 6901) into the
// source's agent; what is below it is meant too.
type Finding struct {
	Path     string         `json:"path"`
	Kind     Kind           `json:"kind"`
	Severity Severity       `json:"severity"`
	Message  string         `json:"message"`
	From     jsontext.Value `json:"from,omitzero"` // the value at the source
	To       jsontext.Value `json:"to,omitzero"`   // and at the target
}

// Loss is the name by which a loss is accepted: "data_loss:/avatar".
func (f Finding) Loss() string { return string(f.Severity) + ":" + f.Path }

// Plan is what becomes of an agent.
type Plan struct {
	Findings []Finding
	// Change is the new agent, as the target is sent it.
	Change normalize.Change
	// Activate: the agent is made inactive, and at work only once it is activated.
	Activate bool
}

// State is whether the plan can be carried out: "ready", or "needs_input" if what
// is missing can be given, or "blocked".
func (p Plan) State() string {
	state := Ready
	for _, f := range p.Findings {
		if f.Severity != Blocking {
			continue
		}
		if f.Kind != NeedsInput && f.Kind != Manual {
			return Blocked
		}
		state = MissingInput
	}
	return state
}

// Count is how many findings are of each kind.
func (p Plan) Count() map[Kind]int {
	count := map[Kind]int{}
	for _, f := range p.Findings {
		count[f.Kind]++
	}
	return count
}

// Losses are the findings that must be accepted.
func (p Plan) Losses() []Finding {
	return slices.DeleteFunc(slices.Clone(p.Findings), func(f Finding) bool { return f.Severity != DataLoss })
}

// planner works through the fields.
type planner struct {
	source   *normalize.Agent
	from, to *adapters.Info
	options  Options
	plan     Plan
	same     bool // one vendor
	greeting string
}

// Make plans the agent's move to the provider. The violations are about the options.
func Make(source *normalize.Agent, from, to *adapters.Info, options Options) (Plan, []normalize.Violation) {
	p := &planner{
		source: source, from: from, to: to, options: options, same: from.Provider == to.Provider,
		plan: Plan{Change: normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}},
	}
	if wrong := p.checkOptions(); len(wrong) > 0 {
		return Plan{}, wrong
	}
	avatar := false
	for _, f := range normalize.AllFields() {
		switch {
		case f == normalize.FieldExtensions:
			p.extensions()
		case derived[f]:
		case group(f) == "avatar" && !p.holdsAny("avatar"):
			if !avatar {
				avatar = p.avatar()
			}
		default:
			p.field(f)
		}
	}
	p.check()
	slices.SortStableFunc(p.plan.Findings, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return p.plan, nil
}

// derived fields are the gateway's own words for what other fields say.
var derived = map[normalize.Field]bool{
	normalize.FieldID: true, normalize.FieldObject: true, normalize.FieldBackend: true, normalize.FieldProvider: true, normalize.FieldModality: true,
}

func group(f normalize.Field) string {
	g, _, nested := strings.Cut(f.Name(), ".")
	if !nested {
		return ""
	}
	return g
}

// holdsAny reports whether a new agent can have anything of a group.
func (p *planner) holdsAny(of string) bool {
	return slices.ContainsFunc(normalize.AllFields(), func(f normalize.Field) bool { return group(f) == of && p.to.Creates(f) })
}

func (p *planner) add(f Finding) { p.plan.Findings = append(p.plan.Findings, f) }

var null = jsontext.Value("null")

// empty reports whether there is nothing to move.
func empty(v jsontext.Value) bool {
	switch strings.TrimSpace(string(v)) {
	case "", "null", "[]", "{}", `""`:
		return true
	}
	return false
}

// field says what becomes of one.
func (p *planner) field(f normalize.Field) {
	path := f.Pointer()
	value := p.source.Value(f)
	shown := !p.source.Unavailable.Has(f)
	if input, given := p.options.Inputs[f.Name()]; given && !f.ReadOnly() {
		p.plan.Change.Set[f] = input
		found := Finding{Path: path, Kind: Exact, Severity: Info, Message: "as given in inputs", To: input}
		if shown && !empty(value) && !normalize.Equal(value, input) {
			found.Kind, found.Severity, found.Message, found.From = Approximate, Warn, "replaced by what inputs give", value
		}
		p.add(found)
		return
	}
	if f == normalize.FieldArchitecture && p.options.Architecture != "" {
		p.architecture(value, shown)
		return
	}
	if !shown {
		if f == normalize.FieldStatus && p.to.CreatesInactive {
			p.plan.Activate = true
			p.add(Finding{Path: path, Kind: Approximate, Severity: Warn, Message: p.from.Title + " does not say whether it is at work: it is made inactive, and activated by the cutover unless that is told not to"})
		}
		return // the source has none; what the target requires is found later
	}
	if p.source.NotLoaded.Has(f) {
		p.add(Finding{Path: path, Kind: Unsupported, Severity: Blocking, Message: p.from.Title + " has it, and it could not be read just now; plan again"})
		return
	}
	switch {
	case f == normalize.FieldNativeID || f == normalize.FieldAlternateIDs:
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "the target gives an id of its own; after the cutover the old ones lead to it", From: value})
	case f.ReadOnly() || group(f) == "owner" || group(f) == "usage":
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "of the agent at the source, and stays there", From: value})
	case f == normalize.FieldStatus:
		p.status(value)
	case empty(value):
		p.add(Finding{Path: path, Kind: Exact, Severity: Info, Message: "empty", From: value})
	case group(f) == "phone" && !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: Manual, Severity: Warn, Message: "a number is not moved: after the cutover connect it to the new agent by hand", From: value})
	case f == normalize.FieldGreeting && !p.to.Creates(f) && slices.Contains(p.options.Transforms, GreetingToPrompt):
		p.greeting, _ = (normalize.Change{Set: map[normalize.Field]jsontext.Value{f: value}}).Text(f)
		p.add(Finding{Path: path, Kind: Approximate, Severity: Warn, Message: p.to.Title + " has no greeting: it becomes an instruction at the end of the system prompt", From: value})
	case group(f) == "avatar" && f != normalize.FieldAvatarID && !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "of the avatar, and comes with it", From: value})
	case !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: Unsupported, Severity: DataLoss, Message: p.to.Title + " has no place for it", From: value})
	default:
		p.move(f, value)
	}
}

// move takes a value over to a field that the target has.
func (p *planner) move(f normalize.Field, value jsontext.Value) {
	to, kind, message := p.translate(f, value)
	if kind == Exact && p.unneeded(f) {
		kind, message = Approximate, fmt.Sprintf("sent as it is; a %s agent may not use it", p.architectureNow())
	}
	found := Finding{Path: f.Pointer(), Kind: kind, Severity: Info, Message: message, From: value, To: to}
	switch kind {
	case Approximate:
		found.Severity = Warn
	case Manual:
		found.Severity = DataLoss
	}
	if to != nil {
		p.plan.Change.Set[f] = to
	}
	p.add(found)
}

// unneeded reports whether the target requires a field for other architectures only.
func (p *planner) unneeded(f normalize.Field) bool {
	required := p.to.Rule(f).RequiredFor
	return len(required) > 0 && !slices.Contains(required, adapters.Always) && !slices.Contains(required, p.architectureNow())
}

// architectureNow is that of the new agent; empty where there is none.
func (p *planner) architectureNow() string {
	a, _ := p.plan.Change.Text(normalize.FieldArchitecture)
	return a
}

// vendorIDs are fields whose values are ids of the vendor's own: the same id elsewhere is
// another thing.
var vendorIDs = map[normalize.Field]string{
	normalize.FieldModelID: "models", normalize.FieldVoiceID: "voices", normalize.FieldAvatarID: "avatars", normalize.FieldKnowledgeBaseIDs: "knowledge bases",
	normalize.FieldToolsBuiltin: "tools", normalize.FieldToolsCustom: "tools",
}

// spelled are fields whose values are words that each vendor may write its own way.
var spelled = map[normalize.Field]bool{
	normalize.FieldLanguage: true, normalize.FieldSTTProvider: true, normalize.FieldTTSProvider: true, normalize.FieldRealtimeProvider: true,
}

// code is a word as vendors agree on it: a language tag (RFC 5646), or a maker's name in
// lower case.
var code = regexp.MustCompile(`^[a-z][a-z0-9_]*(-[A-Za-z0-9]{2,8})*$`)

// translate is what a value is at the target; nil if that cannot be said.
func (p *planner) translate(f normalize.Field, value jsontext.Value) (to jsontext.Value, kind Kind, message string) {
	names := p.options.Maps[f.Name()]
	if value.Kind() == '[' {
		return p.translateAll(f, value, names)
	}
	if to, ok := names[textOf(value)]; ok {
		if to.Kind() == 'n' {
			return nil, Manual, "the map says that there is none"
		}
		if normalize.Equal(to, value) {
			return to, Exact, "the same, by the map"
		}
		return to, Approximate, "by the map"
	}
	allowed := p.to.Rule(f).Limit.OneOf
	switch of, own := vendorIDs[f]; {
	case p.same:
		return value, Exact, "the same"
	case len(allowed) > 0 && slices.Contains(allowed, textOf(value)):
		return value, Exact, "the same; the target has it among its own"
	case own:
		return nil, Manual, fmt.Sprintf("%s are each vendor's own: say in maps.%s what %s is at %s", of, f.Name(), value, p.to.Title)
	case spelled[f] && !code.MatchString(textOf(value)):
		return value, Approximate, fmt.Sprintf("as %s writes it; what %s takes is not documented", p.from.Title, p.to.Title)
	case len(allowed) > 0:
		return nil, Manual, fmt.Sprintf("%s takes %s: say in maps.%s which of them it is", p.to.Title, strings.Join(allowed, ", "), f.Name())
	}
	return value, Exact, "the same"
}

// translateAll does the same for each of several; all of them, or what is missing is said.
func (p *planner) translateAll(f normalize.Field, value jsontext.Value, names map[string]jsontext.Value) (jsontext.Value, Kind, string) {
	if p.same && len(names) == 0 {
		return value, Exact, "the same"
	}
	var items []jsontext.Value
	if err := json.Unmarshal(value, &items); err != nil {
		return nil, Manual, "it cannot be read"
	}
	moved := []jsontext.Value{}
	var missing []string
	for _, item := range items {
		to, ok := names[textOf(item)]
		switch {
		case ok && to.Kind() != 'n':
			moved = append(moved, to)
		case p.same && !ok:
			moved = append(moved, item)
		default:
			missing = append(missing, string(item))
		}
	}
	encoded, err := json.Marshal(moved)
	if err != nil {
		return nil, Manual, "it cannot be written"
	}
	if len(missing) > 0 {
		message := fmt.Sprintf("%s are each vendor's own: say in maps.%s what %s is at %s", vendorIDs[f], f.Name(), strings.Join(missing, ", "), p.to.Title)
		if len(moved) == 0 {
			return nil, Manual, message
		}
		return encoded, Manual, message
	}
	return encoded, Approximate, "by the map"
}

// status: what is at work is made at work only by the cutover, where the vendor can.
func (p *planner) status(value jsontext.Value) {
	path := normalize.FieldStatus.Pointer()
	active := textOf(value) == normalize.StatusActive
	switch {
	case empty(value):
		p.add(Finding{Path: path, Kind: Exact, Severity: Info, Message: "empty", From: value})
	case p.to.CreatesInactive && active:
		p.plan.Activate = true
		p.add(Finding{Path: path, Kind: Exact, Severity: Info, Message: "made inactive, and activated by the cutover", From: value, To: value})
	case p.to.CreatesInactive:
		kind, message := Exact, "made inactive, and left so"
		if textOf(value) != normalize.StatusInactive {
			kind, message = Approximate, fmt.Sprintf("%s knows no %s: it is made inactive, and left so", p.to.Title, value)
		}
		p.add(Finding{Path: path, Kind: kind, Severity: Info, Message: message, From: value, To: jsontext.Value(`"` + normalize.StatusInactive + `"`)})
	case active:
		p.add(Finding{Path: path, Kind: Exact, Severity: Info, Message: p.to.Title + " makes it at work at once", From: value})
	default:
		p.add(Finding{Path: path, Kind: Approximate, Severity: Warn, Message: fmt.Sprintf("%s makes it at work at once, and not %s", p.to.Title, value), From: value})
	}
}

// architecture is the one that was asked for.
func (p *planner) architecture(value jsontext.Value, shown bool) {
	f := normalize.FieldArchitecture
	to := quote(p.options.Architecture)
	p.plan.Change.Set[f] = to
	found := Finding{Path: f.Pointer(), Kind: Exact, Severity: Info, Message: "as asked for", To: to}
	if shown && !empty(value) {
		found.From = value
		if !normalize.Equal(value, to) {
			found.Kind, found.Severity, found.Message = Approximate, Warn, "another one, as asked for"
		}
	}
	p.add(found)
}

// avatar is one finding where the target has no avatars at all.
func (p *planner) avatar() (said bool) {
	var shown normalize.FieldSet
	for _, f := range normalize.AllFields() {
		if group(f) == "avatar" && !p.source.Unavailable.Has(f) {
			shown = shown.With(f)
		}
	}
	if shown == 0 {
		return true
	}
	if p.source.Avatar == nil {
		p.add(Finding{Path: "/avatar", Kind: Exact, Severity: Info, Message: "empty", From: null})
		return true
	}
	value, err := json.Marshal(p.source.Avatar)
	if err != nil {
		value = nil
	}
	p.add(Finding{Path: "/avatar", Kind: Unsupported, Severity: DataLoss, Message: p.to.Title + " has no avatars", From: value})
	return true
}

var hooks = regexp.MustCompile(`(?i)webhook|callback`)

// extensions are the source's own members, and those that inputs give to the target.
func (p *planner) extensions() {
	members := normalize.Members(p.source.Extensions)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		found := Finding{Path: normalize.ExtensionPointer(name), From: value}
		rule, known := p.to.Extension(name)
		input, given := p.options.Inputs["extensions."+name]
		switch {
		case given:
			found.Kind, found.Severity, found.Message, found.To = Approximate, Warn, "replaced by what inputs give", input
			p.plan.Change.Extensions[name] = input
		case empty(value):
			found.Kind, found.Severity, found.Message = Exact, Info, "empty"
		case p.same && known && rule.In&adapters.InCreate != 0:
			found.Kind, found.Severity, found.Message, found.To = Exact, Info, "the same", value
			p.plan.Change.Extensions[name] = value
		case hooks.MatchString(name):
			found.Kind, found.Severity, found.Message = Manual, Warn, "set it up at "+p.to.Title+" by hand"
		case p.same && known:
			found.Kind, found.Severity, found.Message = Unsupported, DataLoss, p.to.Title+" takes it only of an agent that there is already: set it after the cutover"
		default:
			found.Kind, found.Severity, found.Message = Unsupported, DataLoss, fmt.Sprintf("%s's own; %s has no place for it", p.from.Title, p.to.Title)
		}
		p.add(found)
	}
	for name, input := range p.options.Inputs {
		own, ok := strings.CutPrefix(name, "extensions.")
		if !ok {
			continue
		}
		if _, there := members[own]; !there {
			p.plan.Change.Extensions[own] = input
			p.add(Finding{Path: normalize.ExtensionPointer(own), Kind: Exact, Severity: Info, Message: "as given in inputs", To: input})
		}
	}
}

// check holds the new agent against what the target takes: what is required and missing,
// or out of bounds, must be given.
func (p *planner) check() {
	if prompt, _ := p.plan.Change.Text(normalize.FieldSystemPrompt); p.greeting != "" && prompt != "" {
		text := strings.TrimSpace(prompt + "\n\nBegin the conversation with: " + p.greeting)
		p.plan.Change.Set[normalize.FieldSystemPrompt] = quote(text)
		p.amend(normalize.FieldSystemPrompt.Pointer(), func(f *Finding) {
			f.Kind, f.Severity, f.Message, f.To = Approximate, Warn, "the same, and the greeting at its end", quote(text)
		})
	}
	violations := p.to.CheckCreate(p.plan.Change)
	for _, f := range normalize.AllFields() { // what is required cannot be empty
		required := p.to.Rule(f).RequiredFor
		needed := slices.Contains(required, adapters.Always) || slices.Contains(required, p.architectureNow())
		if value, sent := p.plan.Change.Set[f]; sent && needed && string(value) == `""` && !named(violations, f.Pointer()) {
			violations = append(violations, normalize.Violation{Pointer: f.Pointer(), Code: normalize.Required, Message: p.to.Title + " needs it, and it is empty"})
		}
	}
	for _, v := range violations {
		p.amend(v.Pointer, func(f *Finding) {
			f.Severity = Blocking
			if f.Kind == Manual {
				f.Message = v.Message + "; " + f.Message
				return
			}
			f.Kind, f.Message = NeedsInput, v.Message
			if name := strings.ReplaceAll(strings.TrimPrefix(v.Pointer, "/"), "/", "."); v.Code == normalize.Required {
				f.Message += fmt.Sprintf("; give inputs.%s", name)
			}
		})
	}
}

func named(violations []normalize.Violation, pointer string) bool {
	return slices.ContainsFunc(violations, func(v normalize.Violation) bool { return v.Pointer == pointer })
}

// amend changes what was found of a path, or finds it.
func (p *planner) amend(path string, how func(*Finding)) {
	for i := range p.plan.Findings {
		if p.plan.Findings[i].Path == path {
			how(&p.plan.Findings[i])
			return
		}
	}
	f := Finding{Path: path, Kind: NeedsInput}
	how(&f)
	p.add(f)
}

// textOf is a value as maps name it: a string without its quotes, all else as JSON.
func textOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(v)
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return string(v)
	}
	return string(text)
}

func quote(text string) jsontext.Value {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil { // not UTF-8; what was read is
		return null
	}
	return v
}

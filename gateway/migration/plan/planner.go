package plan

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

// planner makes one plan.
type planner struct {
	source   *normalize.Agent
	from, to *adapters.Info
	options  Options
	plan     Plan
	same     bool   // source and target have the same provider
	greeting string // to be added to the system prompt; empty for none
}

// Make plans the migration of an agent to another provider. The violations name what is
// wrong with the options; there is no plan if there are any.
func Make(source *normalize.Agent, from, to *adapters.Info, options Options) (Plan, []normalize.Violation) {
	p := &planner{
		source: source, from: from, to: to, options: options, same: from.Provider == to.Provider,
		plan: Plan{Change: normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}},
	}
	if violations := p.checkOptions(); len(violations) > 0 {
		return Plan{}, violations
	}
	avatarDone := false
	for _, f := range normalize.AllFields() {
		switch {
		case f == normalize.FieldExtensions:
			p.extensions()
		case derived[f]:
		case group(f) == "avatar" && !p.targetSupports("avatar"):
			if !avatarDone {
				p.avatar()
				avatarDone = true
			}
		default:
			p.field(f)
		}
	}
	p.checkChange()
	slices.SortStableFunc(p.plan.Findings, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return p.plan, nil
}

// derived are the fields that the gateway computes from others.
var derived = map[normalize.Field]bool{
	normalize.FieldID: true, normalize.FieldObject: true, normalize.FieldBackend: true, normalize.FieldProvider: true, normalize.FieldModality: true,
}

// group returns the object that a field belongs to: "voice" for voice.id, empty for a
// top-level field.
func group(f normalize.Field) string {
	g, _, nested := strings.Cut(f.Name(), ".")
	if !nested {
		return ""
	}
	return g
}

// targetSupports reports whether the target accepts any field of a group in a create.
func (p *planner) targetSupports(name string) bool {
	return slices.ContainsFunc(normalize.AllFields(), func(f normalize.Field) bool { return group(f) == name && p.to.Creates(f) })
}

func (p *planner) add(f Finding) { p.plan.Findings = append(p.plan.Findings, f) }

var null = jsontext.Value("null")

// empty reports whether a value is null, or an empty string, list or object.
func empty(v jsontext.Value) bool {
	switch strings.TrimSpace(string(v)) {
	case "", "null", "[]", "{}", `""`:
		return true
	}
	return false
}

// field decides about one field.
func (p *planner) field(f normalize.Field) {
	path := f.Pointer()
	value := p.source.Value(f)
	shown := !p.source.Unavailable.Has(f)
	if input, given := p.options.Inputs[f.Name()]; given && !f.ReadOnly() {
		p.plan.Change.Set[f] = input
		found := Finding{Path: path, Kind: Exact, Severity: Info, Message: "set by inputs", To: input}
		if shown && !empty(value) && !normalize.Equal(value, input) {
			found.Kind, found.Severity, found.Message, found.From = Approximate, Warn, "replaced by the value in inputs", value
		}
		p.add(found)
		return
	}
	if f == normalize.FieldArchitecture && p.options.Architecture != "" {
		p.architecture(value, shown)
		return
	}
	if f == normalize.FieldStatus {
		p.status(value, shown)
		return
	}
	if !shown {
		return // checkChange reports the field if the target requires it
	}
	if p.source.NotLoaded.Has(f) {
		p.add(Finding{Path: path, Kind: Unsupported, Severity: Blocking, Message: "the field could not be read from " + p.from.Title + "; plan again"})
		return
	}
	switch {
	case f == normalize.FieldNativeID || f == normalize.FieldAlternateIDs:
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "the target has a new id; after the cutover the old ids point to it", From: value})
	case f.ReadOnly() || group(f) == "owner" || group(f) == "usage":
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "specific to the source agent", From: value})
	case empty(value):
		p.add(Finding{Path: path, Kind: Exact, Severity: Info, Message: "empty", From: value})
	case group(f) == "phone" && !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: Manual, Severity: Warn, Message: "phone numbers are not moved: connect the number to the new agent after the cutover", From: value})
	case f == normalize.FieldGreeting && !p.to.Creates(f) && slices.Contains(p.options.Transforms, GreetingToPrompt):
		p.greeting, _ = (normalize.Change{Set: map[normalize.Field]jsontext.Value{f: value}}).Text(f)
		p.add(Finding{Path: path, Kind: Approximate, Severity: Warn, Message: p.to.Title + " has no greeting: it is added to the end of the system prompt as an instruction", From: value})
	case group(f) == "avatar" && f != normalize.FieldAvatarID && !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: NotMigrated, Severity: Info, Message: "determined by the avatar", From: value})
	case !p.to.Creates(f):
		p.add(Finding{Path: path, Kind: Unsupported, Severity: DataLoss, Message: p.to.Title + " does not support this field", From: value})
	default:
		p.move(f, value)
	}
}

// move copies or translates a value of a field that the target supports.
func (p *planner) move(f normalize.Field, value jsontext.Value) {
	to, kind, message := p.translate(f, value)
	if kind == Exact && p.mayIgnore(f) {
		kind, message = Approximate, fmt.Sprintf("sent unchanged; a %s agent may ignore it", p.targetArchitecture())
	}
	found := Finding{Path: f.Pointer(), Kind: kind, Severity: Info, Message: message, From: value, To: to}
	switch kind {
	case Approximate:
		found.Severity = Warn
	case Manual:
		found.Severity, found.Fix = DataLoss, "maps."+f.Name()
	}
	if to != nil {
		p.plan.Change.Set[f] = to
	}
	p.add(found)
}

// mayIgnore reports whether the target requires a field for other architectures only.
func (p *planner) mayIgnore(f normalize.Field) bool {
	required := p.to.Rule(f).RequiredFor
	return len(required) > 0 && !slices.Contains(required, adapters.Always) && !slices.Contains(required, p.targetArchitecture())
}

// targetArchitecture returns the architecture of the target agent, empty if it has none.
func (p *planner) targetArchitecture() string {
	a, _ := p.plan.Change.Text(normalize.FieldArchitecture)
	return a
}

// architecture sets the architecture that was requested.
func (p *planner) architecture(value jsontext.Value, shown bool) {
	f := normalize.FieldArchitecture
	to := quote(p.options.Architecture)
	p.plan.Change.Set[f] = to
	found := Finding{Path: f.Pointer(), Kind: Exact, Severity: Info, Message: "as requested", To: to}
	if shown && !empty(value) {
		found.From = value
		if !normalize.Equal(value, to) {
			found.Kind, found.Severity, found.Message = Approximate, Warn, "changed as requested"
		}
	}
	p.add(found)
}

// avatar adds one finding for the whole avatar: the target supports none of its fields.
func (p *planner) avatar() {
	var shown normalize.FieldSet
	for _, f := range normalize.AllFields() {
		if group(f) == "avatar" && !p.source.Unavailable.Has(f) {
			shown = shown.With(f)
		}
	}
	if shown == 0 {
		return
	}
	if p.source.Avatar == nil {
		p.add(Finding{Path: "/avatar", Kind: Exact, Severity: Info, Message: "empty", From: null})
		return
	}
	value, err := json.Marshal(p.source.Avatar)
	if err != nil {
		value = nil
	}
	p.add(Finding{Path: "/avatar", Kind: Unsupported, Severity: DataLoss, Message: p.to.Title + " has no avatars", From: value})
}

// callbackNames matches the names of extension fields that are callback URLs.
var callbackNames = regexp.MustCompile(`(?i)webhook|callback`)

// extensions decides about the source's extension fields, and adds those that inputs set.
func (p *planner) extensions() {
	members := normalize.Members(p.source.Extensions)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		found := Finding{Path: normalize.ExtensionPointer(name), From: value}
		rule, known := p.to.Extension(name)
		input, given := p.options.Inputs["extensions."+name]
		switch {
		case given:
			found.Kind, found.Severity, found.Message, found.To = Approximate, Warn, "replaced by the value in inputs", input
			p.plan.Change.Extensions[name] = input
		case empty(value):
			found.Kind, found.Severity, found.Message = Exact, Info, "empty"
		case p.same && known && rule.In&adapters.InCreate != 0:
			found.Kind, found.Severity, found.Message, found.To = Exact, Info, "unchanged", value
			p.plan.Change.Extensions[name] = value
		case callbackNames.MatchString(name):
			found.Kind, found.Severity, found.Message = Manual, Warn, "set it up at "+p.to.Title+" manually"
		case p.same && known:
			found.Kind, found.Severity, found.Message = Unsupported, DataLoss, p.to.Title+" accepts it only in updates: set it after the cutover"
		default:
			found.Kind, found.Severity, found.Message = Unsupported, DataLoss, fmt.Sprintf("specific to %s; %s does not support it", p.from.Title, p.to.Title)
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
			p.add(Finding{Path: normalize.ExtensionPointer(own), Kind: Exact, Severity: Info, Message: "set by inputs", To: input})
		}
	}
}

// checkChange validates the create request against the target's rules. Fields that are
// missing or invalid become blocking findings.
func (p *planner) checkChange() {
	if prompt, _ := p.plan.Change.Text(normalize.FieldSystemPrompt); p.greeting != "" && prompt != "" {
		text := strings.TrimSpace(prompt + "\n\nBegin the conversation with: " + p.greeting)
		p.plan.Change.Set[normalize.FieldSystemPrompt] = quote(text)
		p.amend(normalize.FieldSystemPrompt.Pointer(), func(f *Finding) {
			f.Kind, f.Severity, f.Message, f.To = Approximate, Warn, "unchanged, with the greeting added at the end", quote(text)
		})
	}
	violations := p.to.CheckCreate(p.plan.Change)
	for _, f := range normalize.AllFields() { // a required field must not be empty
		required := p.to.Rule(f).RequiredFor
		needed := slices.Contains(required, adapters.Always) || slices.Contains(required, p.targetArchitecture())
		if value, sent := p.plan.Change.Set[f]; sent && needed && string(value) == `""` && !hasPointer(violations, f.Pointer()) {
			violations = append(violations, normalize.Violation{Pointer: f.Pointer(), Code: normalize.Required, Message: p.to.Title + " requires a value, and this one is empty"})
		}
	}
	for _, v := range violations {
		p.amend(v.Pointer, func(f *Finding) {
			f.Severity = Blocking
			if f.Kind == Manual {
				f.Message = v.Message + "; " + f.Message
				return
			}
			f.Kind, f.Message, f.Fix = NeedsInput, v.Message, "inputs."+strings.ReplaceAll(strings.TrimPrefix(v.Pointer, "/"), "/", ".")
			if v.Pointer == normalize.FieldArchitecture.Pointer() {
				f.Fix = normalize.FieldArchitecture.Name()
			}
		})
	}
}

func hasPointer(violations []normalize.Violation, pointer string) bool {
	return slices.ContainsFunc(violations, func(v normalize.Violation) bool { return v.Pointer == pointer })
}

// amend changes the finding of a path, and adds one if there is none.
func (p *planner) amend(path string, change func(*Finding)) {
	for i := range p.plan.Findings {
		if p.plan.Findings[i].Path == path {
			change(&p.plan.Findings[i])
			return
		}
	}
	f := Finding{Path: path, Kind: NeedsInput}
	change(&f)
	p.add(f)
}

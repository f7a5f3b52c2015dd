package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/normalize"
)

func info(t *testing.T, name string) *adapters.Info {
	t.Helper()
	for _, p := range all.Providers() {
		if p.Info.Provider == name {
			return p.Info
		}
	}
	t.Fatalf("there is no provider %s", name)
	return nil
}

// agent returns an agent of the provider with the given JSON fields.
func agent(t *testing.T, of *adapters.Info, fields string) *normalize.Agent {
	t.Helper()
	whole := strings.Replace(`{"id":"x:1","object":"agent","backend":"x","provider":"`+of.Provider+`","native_id":"1","alternate_ids":[],@}`, "@", fields, 1)
	whole = strings.Replace(whole, ",}", "}", 1)
	a, err := normalize.Row(whole).Agent()
	if err != nil {
		t.Fatalf("%v: %s", err, whole)
	}
	a.Unavailable = of.Unavailable()
	return a
}

func value(text string) jsontext.Value { return jsontext.Value(text) }

// TestMake checks the finding for one field in each case, and the value that is sent.
func TestMake(t *testing.T) {
	model := map[string]jsontext.Value{"model.id": value(`"m"`)}
	for _, c := range []struct {
		name, from, to, fields string
		options                Options
		path                   string
		kind                   Kind
		severity               Severity
		state                  string
		sends                  string // of the field, to the target; "" for nothing
	}{
		{"language tag", "krosai", "agenthuman", `"name":"N","language":"en"`, Options{}, "/language", Exact, Info, Ready, `"en"`},
		{"language in the provider's own spelling", "krosai", "agenthuman", `"name":"N","language":"English (UK)"`, Options{}, "/language", Approximate, Warn, Ready, `"English (UK)"`},
		{"unsupported field", "krosai", "agenthuman", `"name":"N","description":"d"`, Options{}, "/description", Unsupported, DataLoss, Ready, ""},
		{"unsupported field, empty", "krosai", "agenthuman", `"name":"N","description":""`, Options{}, "/description", Exact, Info, Ready, ""},
		{"provider id without a map", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","voice":{"id":"v"}`, Options{Architecture: "text", Inputs: model}, "/voice/id", Manual, DataLoss, Ready, ""},
		{"provider id with a map", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","voice":{"id":"v"}`, Options{Architecture: "text", Inputs: model, Maps: map[string]map[string]jsontext.Value{"voice.id": {"v": value(`"w"`)}}}, "/voice/id", Approximate, Warn, Ready, `"w"`},
		{"provider id mapped to null", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","voice":{"id":"v"}`, Options{Architecture: "text", Inputs: model, Maps: map[string]map[string]jsontext.Value{"voice.id": {"v": value(`null`)}}}, "/voice/id", Manual, DataLoss, Ready, ""},
		{"required provider id without a map", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","model":{"id":"k"}`, Options{Architecture: "text"}, "/model/id", Manual, Blocking, MissingInput, ""},
		{"required field that the source lacks", "klen", "talkifai", `"name":"Nn"`, Options{Architecture: "text", Inputs: model}, "/system_prompt", NeedsInput, Blocking, MissingInput, ""},
		{"required field, empty", "krosai", "talkifai", `"name":"Nn","system_prompt":""`, Options{Architecture: "text", Inputs: model}, "/system_prompt", NeedsInput, Blocking, MissingInput, ""},
		{"required input, empty", "klen", "krosai", `"name":"Nn"`, Options{Inputs: map[string]jsontext.Value{"name": value(`""`)}}, "/name", NeedsInput, Blocking, MissingInput, `""`},
		{"shorter than the target allows", "krosai", "talkifai", `"name":"N","system_prompt":"p"`, Options{Architecture: "text", Inputs: model}, "/name", NeedsInput, Blocking, MissingInput, `"N"`},
		{"replaced by an input", "krosai", "talkifai", `"name":"N","system_prompt":"p"`, Options{Architecture: "text", Inputs: map[string]jsontext.Value{"model.id": value(`"m"`), "name": value(`"Longer"`)}}, "/name", Approximate, Warn, Ready, `"Longer"`},
		{"engine without a map", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","stt":{"provider":"deepgram"}`, Options{Architecture: "text", Inputs: model}, "/stt/provider", Manual, DataLoss, Ready, ""},
		{"required engine without a map", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","tts":{"provider":"krosaimlingual"}`, Options{Architecture: "pipeline", Inputs: model}, "/tts/provider", Manual, Blocking, MissingInput, ""},
		{"field of other architectures", "krosai", "talkifai", `"name":"Nn","system_prompt":"p","stt":{"provider":"deepgram"}`, Options{Architecture: "text", Inputs: model, Maps: map[string]map[string]jsontext.Value{"stt.provider": {"deepgram": value(`"deepgram"`)}}}, "/stt/provider", Approximate, Warn, Ready, `"deepgram"`},
		{"unsupported greeting", "agenthuman", "krosai", `"name":"N","system_prompt":"p","greeting":"Hi"`, Options{}, "/greeting", Unsupported, DataLoss, Ready, ""},
		{"greeting moved to the prompt", "agenthuman", "krosai", `"name":"N","system_prompt":"p","greeting":"Hi"`, Options{Transforms: []string{GreetingToPrompt}}, "/system_prompt", Approximate, Warn, Ready, `"p\n\nBegin the conversation with: Hi"`},
		{"greeting without a prompt", "agenthuman", "talkifai", `"name":"Nn","system_prompt":"","greeting":"Hi"`, Options{Architecture: "text", Inputs: model, Transforms: []string{GreetingToPrompt}}, "/system_prompt", NeedsInput, Blocking, MissingInput, ""},
		{"phone number", "klen", "krosai", `"name":"N","phone":{"number":"+1"}`, Options{}, "/phone/number", Manual, Warn, Ready, ""},
		{"source without a status", "krosai", "talkifai", `"name":"Nn","system_prompt":"p"`, Options{Architecture: "text", Inputs: model}, "/status", Approximate, Warn, Ready, ""},
		{"active source", "agenthuman", "talkifai", `"name":"Nn","system_prompt":"p","status":"active"`, Options{Architecture: "text", Inputs: model}, "/status", Exact, Info, Ready, ""},
		{"active source, and a target that is created active", "talkifai", "agenthuman", `"name":"N","status":"active"`, Options{}, "/status", Exact, Warn, Ready, ""},
		{"source without a status, and a target that is created active", "krosai", "agenthuman", `"name":"N"`, Options{}, "/status", Approximate, Warn, Ready, ""},
		{"inactive source, and a target that is archived", "talkifai", "agenthuman", `"name":"N","status":"inactive"`, Options{}, "/status", Approximate, Warn, Ready, ""},
		{"active source, and a target that is always live", "talkifai", "krosai", `"name":"N","status":"active"`, Options{}, "/status", Exact, Warn, Ready, ""},
		{"source without a status, and a target that is always live", "klen", "krosai", `"name":"N"`, Options{}, "/status", Approximate, Warn, Ready, ""},
		{"archived source", "agenthuman", "krosai", `"name":"N","status":"archived source"`, Options{}, "/status", Approximate, Warn, Ready, ""},
		{"unsupported avatar", "agenthuman", "krosai", `"name":"N","avatar":{"id":"1","name":"A"}`, Options{}, "/avatar", Unsupported, DataLoss, Ready, ""},
		{"avatar from an input", "krosai", "agenthuman", `"name":"N"`, Options{Inputs: map[string]jsontext.Value{"avatar.id": value(`"7"`)}}, "/avatar/id", Exact, Info, Ready, `"7"`},
		{"webhook", "krosai", "agenthuman", `"name":"N","extensions":{"webhook_url":"https://x"}`, Options{}, "/extensions/webhook_url", Manual, Warn, Ready, ""},
		{"unknown extension", "krosai", "agenthuman", `"name":"N","extensions":{"own":1}`, Options{}, "/extensions/own", Unsupported, DataLoss, Ready, ""},
	} {
		from, to := info(t, c.from), info(t, c.to)
		plan, violations := Make(agent(t, from, c.fields), from, to, c.options)
		if len(violations) > 0 {
			t.Errorf("%s: %v", c.name, violations)
			continue
		}
		found := false
		for _, f := range plan.Findings {
			if f.Path != c.path {
				continue
			}
			found = true
			if f.Kind != c.kind || f.Severity != c.severity || f.Message == "" {
				t.Errorf("%s: %s %s %q, want %s %s", c.name, f.Kind, f.Severity, f.Message, c.kind, c.severity)
			}
		}
		if !found || plan.State() != c.state {
			t.Errorf("%s: found %v, %s, want %s: %+v", c.name, found, plan.State(), c.state, plan.Findings)
		}
		field, _ := normalize.FieldByName(strings.ReplaceAll(strings.TrimPrefix(c.path, "/"), "/", "."))
		if got := string(plan.Change.Set[field]); got != c.sends && !strings.HasPrefix(c.path, "/extensions") && c.path != "/avatar" {
			t.Errorf("%s: sends %s, want %s", c.name, got, c.sends)
		}
	}
}

// TestMake_Status: the target is out of service until the cutover wherever that is possible.
func TestMake_Status(t *testing.T) {
	for _, c := range []struct {
		from, to, fields, deactivate string
		activate                     bool
	}{
		{"krosai", "agenthuman", `"name":"N"`, "archived", true},
		{"talkifai", "agenthuman", `"name":"N","status":"active"`, "archived", true},
		{"talkifai", "agenthuman", `"name":"N","status":"inactive"`, "archived", false},
		{"agenthuman", "talkifai", `"name":"Nn","status":"active"`, "", true},
		{"agenthuman", "talkifai", `"name":"Nn","status":"archived"`, "", false},
		{"talkifai", "krosai", `"name":"Nn","status":"active"`, "", false},
	} {
		from, to := info(t, c.from), info(t, c.to)
		plan, violations := Make(agent(t, from, c.fields), from, to, Options{})
		if len(violations) > 0 || plan.Activate != c.activate || plan.Deactivate != c.deactivate {
			t.Errorf("%s to %s, %s: activate %v, deactivate %q: %v", c.from, c.to, c.fields, plan.Activate, plan.Deactivate, violations)
		}
	}
}

// TestMake_Hints: a finding names the option that resolves it, and a similar entry of the map.
func TestMake_Hints(t *testing.T) {
	krosai, talkifai := info(t, "krosai"), info(t, "talkifai")
	source := agent(t, krosai, `"name":"Nn","model":{"id":"claude-3-opus-20240229"}`)
	plan, violations := Make(source, krosai, talkifai, Options{Architecture: "text", Maps: map[string]map[string]jsontext.Value{"model.id": {"claude-3-opus-2024022": value(`"m"`)}}})
	if len(violations) > 0 || plan.SourceName() != "Nn" {
		t.Fatalf("%q, %v", plan.SourceName(), violations)
	}
	for path, want := range map[string][2]string{"/model/id": {"maps.model.id", "did you mean claude-3-opus-2024022?"}, "/system_prompt": {"inputs.system_prompt", "TalkifAI"}} {
		i := slices.IndexFunc(plan.Findings, func(f Finding) bool { return f.Path == path })
		if f := plan.Findings[i]; f.Fix != want[0] || !strings.Contains(f.Message, want[1]) {
			t.Errorf("%+v, want %q", f, want)
		}
	}
	plan, _ = Make(source, krosai, talkifai, Options{})
	if i := slices.IndexFunc(plan.Findings, func(f Finding) bool { return f.Fix == "architecture" }); i < 0 {
		t.Errorf("no finding asks for the architecture: %+v", plan.Findings)
	}
}

// TestMake_EngineInTheTable: an engine is exact only if the table of the target lists it.
func TestMake_EngineInTheTable(t *testing.T) {
	other, talkifai := *info(t, "talkifai"), info(t, "talkifai")
	other.Provider = "other"
	for engine, want := range map[string]Kind{"openai": Exact, "whisper": Manual} {
		source := agent(t, &other, `"name":"Nn","system_prompt":"p","realtime":{"provider":"`+engine+`"}`)
		plan, _ := Make(source, &other, talkifai, Options{Architecture: "realtime"})
		for _, f := range plan.Findings {
			if f.Path == "/realtime/provider" && f.Kind != want {
				t.Errorf("%s: %+v", engine, f)
			}
		}
	}
}

func TestTally(t *testing.T) {
	if got := Tally([]FieldResult{{"/a", Match}, {"/b", TargetDefault}, {"/c", Mismatch}}); got != "1 of 3 fields match (1 mismatch, 1 target_default)" {
		t.Error(got)
	}
}

// TestMake_InvalidOptions: each invalid option is reported with its pointer.
func TestMake_InvalidOptions(t *testing.T) {
	one := func(name, v string) map[string]jsontext.Value { return map[string]jsontext.Value{name: value(v)} }
	maps := func(name, from, to string) map[string]map[string]jsontext.Value {
		return map[string]map[string]jsontext.Value{name: one(from, to)}
	}
	for pointer, w := range map[string]Options{
		"/inputs/nmae":              {Inputs: one("nmae", `"x"`)},
		"/inputs/extensions":        {Inputs: one("extensions", `{}`)},
		"/inputs/extensions.own":    {Inputs: one("extensions.own", `1`)},
		"/inputs/usage.calls":       {Inputs: one("usage.calls", `1`)},
		"/inputs/status":            {Inputs: one("status", `"active"`)},
		"/inputs/greeting":          {Inputs: one("greeting", `"x"`)},
		"/inputs/model.temperature": {Inputs: one("model.temperature", `"x"`)},
		"/inputs/name":              {Inputs: one("name", `null`)},
		"/maps/voices":              {Maps: maps("voices", "a", `"b"`)},
		"/maps/usage.calls":         {Maps: maps("usage.calls", "a", `"b"`)},
		"/maps/voice.id/a":          {Maps: maps("voice.id", "a", `5`)},
		"/maps/voice.id/b":          {Maps: maps("voice.id", "b", `{}`)},
		"/maps/voice.id/c":          {Maps: maps("voice.id", "c", `""`)},
		"/maps/voice.id/d~1e":       {Maps: maps("voice.id", "d/e", `true`)},
		"/transforms/1":             {Transforms: []string{GreetingToPrompt, "magic"}},
		"/architecture":             {Architecture: "video"},
	} {
		krosai := info(t, "krosai")
		_, violations := Make(agent(t, krosai, `"name":"Nn"`), krosai, info(t, "talkifai"), w)
		if len(violations) != 1 || violations[0].Pointer != pointer || violations[0].Message == "" {
			t.Errorf("%s: %+v", pointer, violations)
		}
	}
}

// TestStates_AllowedSteps: every state allows a step, and no state with a target allows to
// plan again, which could create a second target.
func TestStates_AllowedSteps(t *testing.T) {
	for _, state := range States() {
		if len(Next(state)) == 0 {
			t.Errorf("%s allows no step", state)
		}
		if MayHaveTarget(state) && Allowed(StepPlan, state) {
			t.Errorf("%s has a target and allows to plan again", state)
		}
	}
}

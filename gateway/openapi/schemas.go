package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

func text(description string) object { return object{"type": "string", "description": description} }

func instant(description string) object {
	return object{"type": "string", "format": "date-time", "description": description}
}

func texts(description string) object {
	return object{"type": "array", "items": object{"type": "string"}, "description": description}
}

// orNull is the schema, or null.
func orNull(schema object) object {
	if _, ok := schema["$ref"]; ok {
		return object{"anyOf": []object{schema, {"type": "null"}}}
	}
	schema["type"] = []string{schema["type"].(string), "null"}
	return schema
}

// shape is an object all of whose members are always there, but for the optional ones.
func shape(description string, members object, optional ...string) object {
	var required []string
	for name := range members {
		if !slices.Contains(optional, name) {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	o := object{"type": "object", "description": description, "properties": members}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func list(of object, description string) object {
	return object{"type": "array", "items": of, "description": description}
}

func (b *builder) schemas() object {
	var codes []string
	for _, c := range b.in.Codes {
		codes = append(codes, c.Code)
	}
	sourceStatuses := []string{"ok", "stale", "partial", "error"}
	schemas := object{
		"Agent":       b.agent(),
		"AgentCreate": b.body("A new agent. What only the gateway or the vendor can say (`id`, `usage`, …) is ignored, so that an agent that was read can be sent back.", adapters.InCreate),
		"AgentPatch":  b.body("A JSON merge patch (RFC 7396) of an agent; `null` clears, where the vendor documents that it can.", adapters.InUpdate),
		"AgentList": shape("A page of agents.", object{
			"object":        object{"type": "string", "const": "list"},
			"data":          list(ref("schemas", "Agent"), "the agents, in the order asked for"),
			"complete":      object{"type": "boolean", "description": "whether every backend gave all of its part"},
			"sources":       list(ref("schemas", "Source"), "every backend's part"),
			"next_cursor":   orNull(text("where the walk goes on; null at its end")),
			"resume_cursor": orNull(text("on a walk's last page, what fetches the parts that failed; null if none did")),
			"warnings":      list(ref("schemas", "Warning"), "what should be known of this page"),
		}),
		"Source": shape("One backend's part of a list.", object{
			"backend":     text("the operator's name of the backend"),
			"status":      object{"type": "string", "enum": sourceStatuses, "description": "`stale`: an older answer stands in; `partial`: not all of it; `error`: none of it"},
			"count":       object{"type": "integer", "minimum": 0, "description": "how many of its agents match, over all pages"},
			"fetched_at":  instant("when the backend was asked"),
			"unavailable": texts("fields that this vendor never shows"),
			"not_loaded":  texts("fields that it shows, but not in this view"),
			"unfiltered":  texts("fields that a filter could not be applied to, as some of its agents do not show them"),
			"error":       ref("schemas", "SourceFailure"),
		}, "fetched_at", "unavailable", "not_loaded", "unfiltered", "error"),
		"SourceFailure": shape("Why a backend's part is not ok.", object{
			"code":          text("one of the error codes"),
			"retry_after_s": orNull(object{"type": "integer", "minimum": 0, "description": "seconds until it may be asked again; null if that is not known"}),
		}),
		"Warning": shape("Something to know of an answer that is none the less good.", object{
			"code":    text("`unsupported` (dropped, as asked for), `not_persisted`, `unverified`, `activation_failed`, and others"),
			"path":    orNull(text("a JSON pointer (RFC 6901) into the agent; null for the whole")),
			"backend": orNull(text("the backend it is about")),
			"message": text("in words"),
		}),
		"DryRun": shape("What a write would send, and to whom. Nothing was sent.", object{
			"object":   object{"type": "string", "const": "dry_run"},
			"backend":  text("the backend that would be asked"),
			"requests": list(ref("schemas", "DryRequest"), "in this order"),
			"warnings": list(ref("schemas", "Warning"), "what would be dropped, and what could not be checked without asking"),
		}),
		"DryRequest": shape("A request to a backend, without its headers.", object{
			"method": text("the HTTP method"),
			"path":   text("`{id}` stands for the id that the backend would give"),
			"body":   object{"description": "in the vendor's own shape; null for none"},
		}),
		"Backend": shape("A backend that the key maps to.", object{
			"object":   object{"type": "string", "const": "backend"},
			"backend":  text("the operator's name, the first half of agents' ids"),
			"provider": object{"type": "string", "description": "the vendor", "examples": b.providers()},
			"breaker": shape("Its circuit breaker.", object{
				"state":         object{"type": "string", "enum": []string{"closed", "open", "half_open"}, "description": "open: it is not asked"},
				"retry_after_s": orNull(object{"type": "integer", "minimum": 0, "description": "seconds until it is tried again; null unless open"}),
			}),
			"quota": orNull(shape("What is left of the key's credential there; null where nothing is set or said.", object{
				"requests":      object{"type": "integer", "description": "in each window"},
				"per_s":         object{"type": "number", "description": "length of the window, in seconds"},
				"remaining":     object{"type": "integer", "description": "of this window"},
				"retry_after_s": orNull(object{"type": "integer", "description": "seconds until there is more; null if there is some"}),
			})),
			"last_success_at": orNull(instant("when it last answered well")),
			"last_error": orNull(shape("its last failure", object{
				"code": text("one of the error codes"),
				"at":   instant("when"),
			})),
			"operations": object{"type": "object", "description": "by name: `list`, `get`, `create`, `update`, `delete`", "additionalProperties": ref("schemas", "Operation")},
			"fields":     object{"type": "object", "description": "by dotted name, such as `model.id`", "additionalProperties": ref("schemas", "FieldSupport")},
			"extensions": object{"type": "object", "description": "the vendor's own fields that can be written, by its own names", "additionalProperties": ref("schemas", "ExtensionSupport")},
		}),
		"Operation": shape("Whether the vendor has an operation.", object{
			"support": object{"type": "string", "enum": []string{"native", "emulated", "none"}, "description": "`emulated`: the gateway makes it of others"},
		}),
		"FieldSupport": shape("Where the vendor has a field.", object{
			"list": boolean("shown in lists"), "get": boolean("shown in the full view"),
			"create": boolean("can be set in a create"), "update": boolean("can be changed"),
			"required_for": texts("the architectures that need it in a create; `*` for all"),
		}),
		"ExtensionSupport": shape("Where one of the vendor's own fields can be written.", object{
			"create": boolean("in a create"), "update": boolean("in a patch"),
		}),
		"BackendList": shape("The backends that the key maps to.", object{
			"object": object{"type": "string", "const": "list"},
			"data":   list(ref("schemas", "Backend"), "in the order of the configuration"),
		}),
		"Problem": shape("An error (RFC 9457).", object{
			"type":       text("where its cause and cure stand"),
			"title":      text("the kind of error, in words"),
			"status":     object{"type": "integer", "minimum": 400, "maximum": 599, "description": "the HTTP status"},
			"code":       object{"type": "string", "enum": codes, "description": "what programs tell errors apart by"},
			"detail":     text("what happened, in the gateway's words"),
			"request_id": text("as in X-Request-Id"),
			"trace_id":   text("of the trace, if there is one"),
			"retryable":  boolean("whether the same request may succeed later"),
			"backend":    orNull(text("the backend that it is about")),
			"upstream": orNull(shape("what the backend answered; null if it did not", object{
				"status": object{"type": "integer", "description": "its HTTP status"},
				"code":   orNull(text("its machine code, where it documents one")),
			})),
			"errors":  list(ref("schemas", "Violation"), "what is wrong with the body"),
			"sources": list(ref("schemas", "Source"), "of a list: every backend's part"),
		}, "trace_id"),
		"Violation": shape("One thing wrong with a body.", object{
			"pointer": text("a JSON pointer (RFC 6901) into the body"),
			"code":    object{"type": "string", "enum": []string{"required", "unsupported", "wrong_type", "invalid_value", "too_long", "immutable", "unknown_field"}, "description": "which kind"},
			"message": text("in words"),
		}),
	}
	maps.Copy(schemas, aliasSchemas())
	maps.Copy(schemas, b.migrationSchemas())
	return schemas
}

func boolean(description string) object {
	return object{"type": "boolean", "description": description}
}

func (b *builder) providers() []string {
	var names []string
	for _, p := range b.in.Providers {
		names = append(names, p.Provider)
	}
	return names
}

// agent is the schema of an agent as it is answered.
func (b *builder) agent() object {
	all := b.members(normalize.AllFields(), func(f normalize.Field) string {
		return b.notes(f, adapters.InList|adapters.InGet|adapters.InCreate|adapters.InUpdate)
	}, true)
	all["object"] = object{"type": "string", "const": "agent"}
	all["view"] = object{"type": "string", "enum": []string{"basic", "full"}, "description": "how much of it was read: what the backend's list shows, or everything"}
	all["unavailable"] = texts("fields that this vendor never shows; in a list, only where they differ from the source's")
	all["not_loaded"] = texts("fields that it shows, but not in this view; in a list, only where they differ from the source's")
	all["resolved_from"] = text("the alias that led here; only there if one did")
	all["warnings"] = list(ref("schemas", "Warning"), "of a write")
	all["raw"] = shape("with `include=raw`: the vendor's own JSON that the agent was made of", object{
		"list": object{"description": "the row of its list"}, "detail": object{"description": "its get"},
	}, "list", "detail")
	return shape("An agent. Every member is always there, but for `unavailable`, `not_loaded`, `resolved_from`, `warnings` and `raw`; null means empty, unless the member stands in `unavailable` or `not_loaded`.",
		all, "unavailable", "not_loaded", "resolved_from", "warnings", "raw")
}

// body is the schema of what can be written.
func (b *builder) body(description string, in adapters.Ops) object {
	var writable []normalize.Field
	for _, f := range normalize.AllFields() {
		if f == normalize.FieldExtensions || b.writes(f, in) {
			writable = append(writable, f)
		}
	}
	members := b.members(writable, func(f normalize.Field) string { return b.notes(f, in) }, false)
	if in == adapters.InCreate {
		members["backend"] = text("where the agent shall be; left out, the first backend that can hold every member sent")
	}
	var every []string
	for name := range members {
		every = append(every, name)
	}
	s := shape(description, members, every...)
	if in == adapters.InCreate {
		// Every provider that creates needs it; a test holds this against the tables.
		s["required"] = []string{"name"}
		members["name"].(object)["type"] = "string"
	}
	return s
}

func (b *builder) writes(f normalize.Field, in adapters.Ops) bool {
	return slices.ContainsFunc(b.in.Providers, func(p *adapters.Info) bool {
		return p.Rule(f).In&in != 0 || in == adapters.InCreate && p.Supports(adapters.OpCreate) && p.Creates(f)
	})
}

// members are the properties for fields, the nested ones in their groups.
func (b *builder) members(fields []normalize.Field, notes func(normalize.Field) string, answered bool) object {
	members := object{}
	for _, f := range fields {
		description := fieldTexts[f]
		if note := notes(f); note != "" {
			description += ". " + note
		}
		var s object
		switch f.Type() {
		case normalize.TypeString:
			s = text(description)
			if known := normalize.KnownValues(f); known != nil {
				s["examples"] = known
				s["description"] = description + ". Known values: `" + strings.Join(known, "`, `") + "`; others are passed through"
			}
		case normalize.TypeNumber:
			s = object{"type": "number", "description": description}
		case normalize.TypeBool:
			s = boolean(description)
		case normalize.TypeStrings:
			s = texts(description)
		case normalize.TypeObject:
			s = object{"type": "object", "description": description, "additionalProperties": true}
		}
		if normalize.Optional.Has(f) || f == normalize.FieldModality { // null if the agent could not be read
			s = orNull(s)
		}
		group, leaf, nested := strings.Cut(f.Name(), ".")
		if !nested {
			members[group] = s
			continue
		}
		inner, _ := members[group].(object)
		if inner == nil {
			inner = object{"type": "object", "description": groupTexts[group], "properties": object{}}
			if group == "avatar" || !answered {
				inner = orNull(inner)
			}
			members[group] = inner
		}
		inner["properties"].(object)[leaf] = s
		if answered {
			required, _ := inner["required"].([]string)
			inner["required"] = append(required, leaf)
		}
	}
	return members
}

// notes say of each provider what it does with a field.
func (b *builder) notes(f normalize.Field, in adapters.Ops) string {
	if !normalize.Optional.Has(f) {
		return ""
	}
	var notes []string
	for _, p := range b.in.Providers {
		rule := p.Rule(f)
		var can []string
		for _, o := range []struct {
			op   adapters.Ops
			name string
		}{{adapters.InList, "list"}, {adapters.InGet, "get"}, {adapters.InCreate, "create"}, {adapters.InUpdate, "update"}} {
			has := rule.In&o.op != 0 || o.op == adapters.InCreate && p.Supports(adapters.OpCreate) && p.Creates(f)
			if o.op&in != 0 && has {
				can = append(can, o.name)
			}
		}
		if len(can) == 0 {
			continue
		}
		var details []string
		if in != adapters.InCreate && in != adapters.InUpdate {
			details = append(details, strings.Join(can, ", "))
		}
		switch {
		case in&adapters.InCreate == 0 || len(rule.RequiredFor) == 0:
		case slices.Contains(rule.RequiredFor, adapters.Always):
			details = append(details, "required")
		default:
			details = append(details, fmt.Sprintf("required for %s agents", strings.Join(rule.RequiredFor, " and ")))
		}
		if limit := rule.Limit.String(); limit != "" && in&(adapters.InCreate|adapters.InUpdate) != 0 {
			details = append(details, limit)
		}
		note := p.Provider
		if len(details) > 0 {
			note += " (" + strings.Join(details, "; ") + ")"
		}
		notes = append(notes, note)
	}
	if len(notes) == 0 {
		return ""
	}
	return "Held by " + strings.Join(notes, ", ")
}

package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// agentSchema returns the schema of an agent in a response.
func (b *builder) agentSchema() object {
	properties := properties(normalize.AllFields(), func(f normalize.Field) string {
		return b.supportNote(f, adapters.InList|adapters.InGet|adapters.InCreate|adapters.InUpdate)
	}, true)
	properties["object"] = object{"type": "string", "const": "agent"}
	properties["view"] = object{"type": "string", "enum": []string{"basic", "full"}, "description": "`basic`: the fields of the backend's list; `full`: all fields"}
	properties["unavailable"] = stringsSchema("fields that this provider never shows; in a list, only if they differ from the source's")
	properties["not_loaded"] = stringsSchema("fields that the provider shows, but not in this view; in a list, only if they differ from the source's")
	properties["resolved_from"] = stringSchema("the alias that was requested; only present if an alias was resolved")
	properties["warnings"] = arraySchema(ref("schemas", "Warning"), "warnings of a write, or about what the provider sent; only present if there are any, or after a write")
	properties["raw"] = objectSchema("with `include=raw`: the provider's JSON that the agent was decoded from", object{
		"list": object{"description": "the row of the provider's list"}, "detail": object{"description": "the provider's response to a get"},
	}, "list", "detail")
	return objectSchema("An agent. Every field is always present, except `unavailable`, `not_loaded`, `resolved_from`, `warnings` and `raw`. Null means empty, unless the field is named in `unavailable` or `not_loaded`.",
		properties, "unavailable", "not_loaded", "resolved_from", "warnings", "raw")
}

// writeSchema returns the schema of the body of a create or an update.
func (b *builder) writeSchema(description string, op adapters.Ops) object {
	var writable []normalize.Field
	for _, f := range normalize.AllFields() {
		if f == normalize.FieldExtensions || b.isWritable(f, op) {
			writable = append(writable, f)
		}
	}
	properties := properties(writable, func(f normalize.Field) string { return b.supportNote(f, op) }, false)
	if op == adapters.InCreate {
		properties["backend"] = stringSchema("the backend to create the agent at, or `auto` for the first that supports every field sent; can be omitted if the key can create agents at one backend only")
		properties["backend"].(object)["examples"] = []any{"krosai", normalize.AutoBackend}
		properties["provider"] = stringSchema("only a backend of this provider")
		properties["modality"] = enumSchema(normalize.KnownValues(normalize.FieldModality), "only a backend that creates agents of this modality")
	}
	var optional []string
	for name := range properties {
		optional = append(optional, name)
	}
	s := objectSchema(description, properties, optional...)
	if op == adapters.InCreate {
		// Every provider that supports create requires it; a test checks this against
		// the capability tables.
		s["required"] = []string{"name"}
		properties["name"].(object)["type"] = "string"
	}
	return s
}

// isWritable reports whether any provider accepts the field in op.
func (b *builder) isWritable(f normalize.Field, op adapters.Ops) bool {
	return slices.ContainsFunc(b.in.Providers, func(p *adapters.Info) bool {
		return supports(p, f, op)
	})
}

// supports reports whether the provider has the field in op.
func supports(p *adapters.Info, f normalize.Field, op adapters.Ops) bool {
	return p.Rule(f).In&op != 0 || op == adapters.InCreate && p.Supports(adapters.OpCreate) && p.Creates(f)
}

// properties returns the schema of each field, nested ones below their group. In a
// response every field is required; in a request any group can be null.
func properties(fields []normalize.Field, note func(normalize.Field) string, inResponse bool) object {
	properties := object{}
	for _, f := range fields {
		s := fieldSchema(f, note(f))
		group, leaf, nested := strings.Cut(f.Name(), ".")
		if !nested {
			properties[group] = s
			continue
		}
		inner, _ := properties[group].(object)
		if inner == nil {
			inner = object{"type": "object", "description": groupDescriptions[group], "properties": object{}}
			if group == "avatar" || !inResponse {
				inner = orNull(inner)
			}
			properties[group] = inner
		}
		inner["properties"].(object)[leaf] = s
		if inResponse {
			required, _ := inner["required"].([]string)
			inner["required"] = append(required, leaf)
		}
	}
	return properties
}

func fieldSchema(f normalize.Field, note string) object {
	description := fieldDescriptions[f]
	if note != "" {
		description += ". " + note
	}
	var s object
	switch f.Type() {
	case normalize.TypeString:
		if known := normalize.KnownValues(f); known != nil {
			s = stringSchema(description + ". Known values: `" + strings.Join(known, "`, `") + "`; other values are passed through")
			s["examples"] = known
		} else {
			s = stringSchema(description)
		}
	case normalize.TypeNumber:
		s = object{"type": "number", "description": description}
	case normalize.TypeBool:
		s = booleanSchema(description)
	case normalize.TypeStrings:
		s = stringsSchema(description)
	case normalize.TypeObject:
		s = object{"type": "object", "description": description, "additionalProperties": true}
	}
	if normalize.Optional.Has(f) || f == normalize.FieldModality { // null if the agent could not be read
		s = orNull(s)
	}
	return s
}

// supportNote says which providers support the field in ops, with their requirements and
// limits.
func (b *builder) supportNote(f normalize.Field, ops adapters.Ops) string {
	if !normalize.Optional.Has(f) {
		return ""
	}
	var notes []string
	for _, p := range b.in.Providers {
		if note := providerNote(p, f, ops); note != "" {
			notes = append(notes, note)
		}
	}
	if len(notes) == 0 {
		return ""
	}
	return "Supported by " + strings.Join(notes, ", ")
}

// providerNote is supportNote for one provider; empty if it does not support the field.
func providerNote(p *adapters.Info, f normalize.Field, ops adapters.Ops) string {
	rule := p.Rule(f)
	var supported []string
	for _, o := range []struct {
		op   adapters.Ops
		name string
	}{{adapters.InList, "list"}, {adapters.InGet, "get"}, {adapters.InCreate, "create"}, {adapters.InUpdate, "update"}} {
		if o.op&ops != 0 && supports(p, f, o.op) {
			supported = append(supported, o.name)
		}
	}
	if len(supported) == 0 {
		return ""
	}
	var details []string
	if ops != adapters.InCreate && ops != adapters.InUpdate {
		details = append(details, strings.Join(supported, ", "))
	}
	switch {
	case ops&adapters.InCreate == 0 || len(rule.RequiredFor) == 0:
	case slices.Contains(rule.RequiredFor, adapters.Always):
		details = append(details, "required")
	default:
		details = append(details, fmt.Sprintf("required for %s agents", strings.Join(rule.RequiredFor, " and ")))
	}
	if limit := rule.Limit.String(); limit != "" && ops&(adapters.InCreate|adapters.InUpdate) != 0 {
		details = append(details, limit)
	}
	if len(details) == 0 {
		return p.Provider
	}
	return p.Provider + " (" + strings.Join(details, "; ") + ")"
}

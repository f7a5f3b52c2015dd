package openapi

import "github.com/agentgw/agentgw/normalize"

func aliasSchemas() object {
	return object{
		"Alias": shape("A name that leads to an agent.", object{
			"object":       object{"type": "string", "const": "alias"},
			"name":         text("a slug, or the id of an agent that was moved"),
			"target":       text("the id of the agent that it leads to"),
			"version":      object{"type": "integer", "minimum": 1, "description": "counts its changes; send it to change the alias"},
			"migration_id": orNull(text("the migration that made it; null for none")),
			"created_at":   instant("when it was made"),
			"updated_at":   instant("when it was last led elsewhere"),
		}),
		"AliasList": shape("The aliases that the key can see.", object{
			"object": object{"type": "string", "const": "list"},
			"data":   list(ref("schemas", "Alias"), "by name"),
		}),
		"AliasPut": shape("Where an alias shall lead.", object{
			"target":  object{"type": "string", "minLength": 1, "description": "an agent's id, or an alias that is followed"},
			"version": object{"type": "integer", "minimum": 0, "description": "that the alias has now; 0, or left out, if there is none"},
		}, "version"),
	}
}

func (b *builder) migrationSchemas() object {
	of := b.in.Migration
	words := func(values []string, description string) object {
		return object{"type": "string", "enum": values, "description": description}
	}
	counts := object{}
	for _, kind := range of.Kinds {
		counts[kind] = object{"type": "integer", "minimum": 0, "description": "how many findings are of this kind"}
	}
	var fields []string
	for _, f := range normalize.AllFields() {
		if !f.Settled() {
			fields = append(fields, f.Name())
		}
	}
	accept := texts("the losses that are accepted, each by its name, such as `data_loss:/avatar`")
	wishes := object{
		"architecture": text("of the new agent, where the vendor has several; left out, the source's"),
		"inputs":       object{"type": "object", "description": "values of the new agent, by dotted names such as `model.id`, or `extensions.` and the target's own name; they go before the source's", "additionalProperties": true, "examples": []object{{"system_prompt": "Answer briefly."}}},
		"maps":         object{"type": "object", "description": "by field, such as `voice.id`, what the source's values are at the target; null: there is none", "propertyNames": object{"enum": fields}, "additionalProperties": object{"type": "object", "additionalProperties": true}},
		"transforms":   object{"type": "array", "items": words(of.Transforms, "`greeting_to_prompt`: a greeting that the target has no place for becomes a part of the system prompt"), "description": "what is changed on the way, only if asked for"},
	}
	plan := object{
		"source":         object{"type": "string", "minLength": 1, "description": "the agent's id"},
		"target_backend": object{"type": "string", "minLength": 1, "description": "the backend that it is moved to"},
	}
	for name, schema := range wishes {
		plan[name] = schema
	}
	summary := func() object {
		return object{
			"object":         object{"type": "string", "const": "migration"},
			"id":             text("`mig_…`"),
			"state":          ref("schemas", "StateOfMigration"),
			"source":         text("the id of the agent that is moved"),
			"target_backend": text("the backend that it is moved to"),
			"target":         orNull(text("the id of the new agent; null before there is one")),
			"key_id":         text("the key that planned it"),
			"version":        object{"type": "integer", "minimum": 1, "description": "counts its changes"},
			"plan_hash":      text("names the plan; apply needs it"),
			"counts":         shape("How many findings there are of each kind.", counts),
			"losses":         texts("what apply must accept, as it names it"),
			"next":           object{"type": "array", "items": words(of.Steps, "a step"), "description": "the steps that can follow"},
			"created_at":     instant("when it was first planned"),
			"updated_at":     instant("when it last changed"),
		}
	}
	whole := summary()
	whole["plan"] = shape("What becomes of the agent.", object{
		"source_etag": text("the entity tag of the source that it was made of"),
		"wishes":      shape("What the plan was asked to heed.", wishes, "architecture", "inputs", "maps", "transforms"),
		"findings":    list(ref("schemas", "Finding"), "one for each field that the source has, and for what is missing"),
		"agent":       object{"type": "object", "description": "the new agent, as POST /v1/agents would be given it", "additionalProperties": true},
		"requests":    list(ref("schemas", "DryRequest"), "what the backend is sent; none as long as the plan is not ready"),
		"activate":    boolean("whether the cutover activates it"),
	})
	whole["accepted"] = texts("the losses that were accepted")
	whole["verification"] = orNull(shape("what the target was found to be like; null before it was looked at", object{
		"at":             instant("when"),
		"ok":             boolean("whether every field is as planned, and the source as it was"),
		"source_changed": boolean("whether the source was changed since it was planned"),
		"target_changed": boolean("whether the target was changed since it was left, be it in fields that the plan has not"),
		"accepted":       texts("the differences that were accepted"),
		"fields": list(shape("A field of the target.", object{
			"path":    text("a JSON pointer into the agent"),
			"verdict": words(of.Verdicts, "`not_persisted`: it was sent and is empty; `target_default`: it was not sent and has a value"),
		}), "field by field, without values"),
	}))
	whole["shadow"] = orNull(shape("what was seen of the target beside the source; null if it never was", object{
		"percent":     object{"type": "integer", "minimum": 0, "maximum": 100, "description": "the share of reads"},
		"until":       instant("when it ends"),
		"reads":       object{"type": "integer", "minimum": 0, "description": "how often the target was read"},
		"differences": object{"type": "object", "description": "by the field's JSON pointer, how often it was not as planned", "additionalProperties": object{"type": "integer"}},
		"note":        text("what this proves, and what not"),
	}))
	whole["manual"] = list(ref("schemas", "Finding"), "what is left to do by hand after the cutover")
	whole["warnings"] = list(ref("schemas", "Warning"), "of the step that was just done")
	whole["trail"] = list(shape("A line of the audit trail.", object{
		"at": instant("when"), "step": words(of.Steps, "which step"), "state": ref("schemas", "StateOfMigration"),
		"key_id": text("who did it"), "request_id": text("the request that did it"), "detail": text("in words"),
	}), "what was done, the oldest first")
	return object{
		"MigrationPlan":    shape("Which agent is moved where, and what is to be heeded.", plan, "architecture", "inputs", "maps", "transforms"),
		"MigrationApply":   shape("Which plan, and which losses are accepted.", object{"plan_hash": text("of the plan as it was read"), "accept": accept}, "accept"),
		"MigrationVerify":  shape("Which differences are none.", object{"accept": texts("each by its verdict and field, such as `mismatch:/voice/id`")}, "accept"),
		"MigrationShadow":  shape("How much is read along, and for how long.", object{"percent": object{"type": "integer", "minimum": 0, "maximum": 100, "description": "of the reads of the source; 0 ends it"}, "for": text("such as `1h`")}, "for"),
		"MigrationCutover": shape("Whether the target is activated.", object{"activate": orNull(boolean("left out: if the source is at work"))}, "activate"),
		"MigrationRollback": shape("What becomes of the target.", object{
			"delete_target": boolean("whether it is deleted, if nobody changed it; left out, it rests"),
			"abandon":       boolean("give up a migration of which nobody can find out any more whether it made a target"),
		}, "delete_target", "abandon"),
		"MigrationList": shape("A page of migrations.", object{
			"object":      object{"type": "string", "const": "list"},
			"data":        list(ref("schemas", "MigrationSummary"), "the newest first"),
			"next_cursor": orNull(text("where the walk goes on; null at its end")),
		}),
		"MigrationSummary": shape("A migration, without its plan.", summary()),
		"Migration":        shape("A migration.", whole),
		// Not MigrationState: a code of problems has that name, and both are names in generated clients.
		"StateOfMigration": words(of.States, "How far a migration is. `needs_input` and `blocked`: the plan cannot be applied as it is; `outcome_unknown`: there may be a target, or not, and apply finds out; `failed`: the target refused the agent."),
		"Finding": shape("What becomes of one field.", object{
			"path":     text("a JSON pointer (RFC 6901) into the source's agent; what is below it is meant too"),
			"kind":     words(of.Kinds, "`manual`: a map, or a person, must say what it is there; `unsupported`: it is lost"),
			"severity": words(of.Severities, "`data_loss` must be accepted by name; `blocking` cannot be"),
			"message":  text("in words"),
			"from":     object{"description": "the value at the source"},
			"to":       object{"description": "the value at the target"},
		}, "from", "to"),
	}
}

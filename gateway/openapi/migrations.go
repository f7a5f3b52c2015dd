package openapi

import "github.com/agentgw/agentgw/normalize"

func aliasSchemas() object {
	return object{
		"Alias": objectSchema("A name that resolves to an agent.", object{
			"object":       object{"type": "string", "const": "alias"},
			"name":         stringSchema("a slug, or the id of an agent that was migrated"),
			"target":       stringSchema("the id of the agent that the alias resolves to"),
			"version":      object{"type": "integer", "minimum": 1, "description": "incremented by each change; send it to change the alias"},
			"migration_id": orNull(stringSchema("the migration that created the alias; null for none")),
			"created_at":   timestampSchema("when the alias was created"),
			"updated_at":   timestampSchema("when the target last changed"),
		}),
		"AliasList": objectSchema("The aliases that the key can see.", object{
			"object":      object{"type": "string", "const": "list"},
			"data":        arraySchema(ref("schemas", "Alias"), "sorted by name"),
			"next_cursor": nextCursor(),
		}),
		"AliasPutRequest": objectSchema("The target of an alias.", object{
			"target":  object{"type": "string", "minLength": 1, "description": "an agent's id, or an alias, which is resolved"},
			"version": object{"type": "integer", "minimum": 0, "description": "the current version of the alias; 0 or omitted if it does not exist yet"},
		}, "version"),
	}
}

func (b *builder) migrationSchemas() object {
	schemas := migrationRequestSchemas(b.migrationOptions())
	summary := b.migrationSummary()
	schemas["MigrationSummary"] = objectSchema("A migration without its plan.", summary)
	schemas["Migration"] = objectSchema("A migration.", b.migrationFields())
	schemas["MigrationList"] = objectSchema("A page of migrations.", object{
		"object":      object{"type": "string", "const": "list"},
		"data":        arraySchema(ref("schemas", "MigrationSummary"), "newest first"),
		"next_cursor": nextCursor(),
	})
	// Not MigrationState: an error code has that name, and generated clients put both
	// into one namespace.
	schemas["StateOfMigration"] = enumSchema(b.in.Migration.States, "How far a migration is. `needs_input` and `blocked`: the plan cannot be applied as it is. `outcome_unknown`: a target may or may not exist, and apply finds out. `failed`: the target backend rejected the agent. `drifted`: a verification found that the target differs from the plan.")
	schemas["Finding"] = objectSchema("What happens to one field.", object{
		"path":     stringSchema("a JSON pointer (RFC 6901) into the source agent; includes everything below it"),
		"kind":     enumSchema(b.in.Migration.Kinds, "`manual`: needs a map entry or a manual step; `unsupported`: the value is lost"),
		"severity": enumSchema(b.in.Migration.Severities, "`data_loss` must be accepted by name; `blocking` cannot be accepted"),
		"message":  stringSchema("human-readable explanation"),
		"fix":      stringSchema("the option of a plan that resolves the finding: `maps.` or `inputs.` and the field's name, or `architecture`"),
		"from":     object{"description": "the value at the source"},
		"to":       object{"description": "the value at the target"},
	}, "fix", "from", "to")
	return schemas
}

// migrationOptions returns the choices that a plan request can make.
func (b *builder) migrationOptions() object {
	var fields []string
	for _, f := range normalize.AllFields() {
		if !f.ReadOnly() {
			fields = append(fields, f.Name())
		}
	}
	return object{
		"architecture": stringSchema("architecture of the new agent, where the provider has several; defaults to the source's"),
		"inputs":       object{"type": "object", "description": "values of the new agent, by dotted field name such as `model.id`, or `extensions.` and the target's own name; they override the source's values", "additionalProperties": true, "examples": []object{{"system_prompt": "Answer briefly."}}},
		"maps":         object{"type": "object", "description": "by field, such as `voice.id`: the target's value for each of the source's values; null if the target has none", "propertyNames": object{"enum": fields}, "additionalProperties": object{"type": "object", "additionalProperties": true}},
		"transforms":   object{"type": "array", "items": enumSchema(b.in.Migration.Transforms, "`greeting_to_prompt`: appends a greeting that the target does not support to the system prompt"), "description": "transforms to apply; none by default"},
	}
}

// migrationRequestSchemas returns the bodies of the migration routes.
func migrationRequestSchemas(options object) object {
	plan := object{
		"source":         object{"type": "string", "minLength": 1, "description": "the id of the source agent, or an alias of it"},
		"target_backend": object{"type": "string", "minLength": 1, "description": "the backend to migrate to"},
		"batch":          object{"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$", "description": "a name for the migrations that are planned together; `GET /v1/migrations?batch=` selects them"},
	}
	for name, schema := range options {
		plan[name] = schema
	}
	return object{
		"MigrationPlanRequest": objectSchema("The agent to migrate, the target backend and the options.", plan, "batch", "architecture", "inputs", "maps", "transforms"),
		"MigrationApplyRequest": objectSchema("The plan to apply and the losses to accept.", object{
			"plan_hash": stringSchema("the `plan_hash` of the plan that was reviewed"),
			"accept":    stringsSchema("the accepted losses, by name, such as `data_loss:/avatar`"),
		}, "accept"),
		"MigrationVerifyRequest": objectSchema("The differences to accept.", object{
			"accept": stringsSchema("verdict and field of each, such as `mismatch:/voice/id`"),
		}, "accept"),
		"MigrationShadowRequest": objectSchema("The share of reads to shadow, and for how long.", object{
			"percent": object{"type": "integer", "minimum": 0, "maximum": 100, "description": "of the reads of the source; 0 stops the shadow reads"},
			"for":     stringSchema("a duration such as `1h`"),
		}, "for"),
		"MigrationCutoverRequest": objectSchema("Whether to activate the target.", object{
			"activate": orNull(booleanSchema("defaults to true if the source is active")),
		}, "activate"),
		"MigrationRollbackRequest": objectSchema("What to do with the target.", object{
			"delete_target": booleanSchema("delete the target, if it is unchanged; by default it is deactivated"),
			"abandon":       booleanSchema("give up a migration whose outcome can no longer be determined"),
		}, "delete_target", "abandon"),
	}
}

// migrationSummary returns the fields of a migration that lists show.
func (b *builder) migrationSummary() object {
	counts := object{}
	for _, kind := range b.in.Migration.Kinds {
		counts[kind] = object{"type": "integer", "minimum": 0, "description": "number of findings of this kind"}
	}
	return object{
		"object":         object{"type": "string", "const": "migration"},
		"id":             stringSchema("`mig_…`"),
		"state":          ref("schemas", "StateOfMigration"),
		"source":         stringSchema("the id of the source agent"),
		"source_name":    orNull(stringSchema("the name of the source agent; null if it has none")),
		"target_backend": stringSchema("the backend to migrate to"),
		"target":         orNull(stringSchema("the id of the new agent; null until it exists, and after a rollback has deleted it. A migration in state `rolled_back` with a target has left it at the provider")),
		"batch":          orNull(stringSchema("the batch that it was planned in; null for none")),
		"key_id":         stringSchema("the key that planned the migration"),
		"version":        object{"type": "integer", "minimum": 1, "description": "incremented by each change"},
		"plan_hash":      stringSchema("identifies the plan; required by apply"),
		"counts":         objectSchema("The number of findings of each kind.", counts),
		"losses":         stringsSchema("the losses that apply must accept, by name"),
		"next":           object{"type": "array", "items": enumSchema(b.in.Migration.Steps, "a step"), "description": "the possible next steps"},
		"created_at":     timestampSchema("when the migration was first planned"),
		"updated_at":     timestampSchema("when the migration last changed"),
	}
}

// migrationFields returns the summary and everything else that one migration shows.
func (b *builder) migrationFields() object {
	vocabulary := b.in.Migration
	fields := b.migrationSummary()
	fields["plan"] = objectSchema("What the migration does to the agent.", object{
		"source_etag": stringSchema("the entity tag of the source agent that was planned"),
		"options":     objectSchema("The options of the plan.", b.migrationOptions(), "architecture", "inputs", "maps", "transforms"),
		"findings":    arraySchema(ref("schemas", "Finding"), "one for each field of the source, and one for each missing field"),
		"agent":       object{"type": "object", "description": "the new agent, in the form of a POST /v1/agents body", "additionalProperties": true},
		"requests":    arraySchema(ref("schemas", "DryRequest"), "the requests to the target backend; empty until the plan is ready"),
		"activate":    booleanSchema("whether cutover activates the target"),
	})
	fields["accepted"] = stringsSchema("the losses that were accepted")
	fields["verification"] = orNull(objectSchema("result of the last verification; null before the first", object{
		"at":             timestampSchema("when"),
		"ok":             booleanSchema("true if every field is as planned and the source is unchanged"),
		"source_changed": booleanSchema("whether the source has changed since the plan"),
		"target_changed": booleanSchema("whether the target has changed since the last step, including fields outside the plan"),
		"accepted":       stringsSchema("the differences that were accepted"),
		"fields": arraySchema(objectSchema("A field of the target.", object{
			"path":    stringSchema("a JSON pointer into the agent"),
			"verdict": enumSchema(vocabulary.Verdicts, "`not_persisted`: sent, but empty at the target; `target_default`: not sent, but set at the target"),
		}), "the verdict of each field, without values"),
	}))
	fields["shadow"] = orNull(objectSchema("results of shadow reads; null if there were none", object{
		"percent":     object{"type": "integer", "minimum": 0, "maximum": 100, "description": "the share of reads of the source that also read the target"},
		"until":       timestampSchema("when the shadow reads end"),
		"reads":       object{"type": "integer", "minimum": 0, "description": "number of shadow reads of the target"},
		"differences": object{"type": "object", "description": "number of reads in which a field was not as planned, by JSON pointer", "additionalProperties": object{"type": "integer"}},
		"note":        stringSchema("what shadow reads prove, and what they do not"),
	}))
	fields["manual"] = arraySchema(ref("schemas", "Finding"), "manual steps after the cutover")
	fields["warnings"] = arraySchema(ref("schemas", "Warning"), "warnings of the step that was just performed")
	fields["trail"] = arraySchema(objectSchema("An entry of the audit log.", object{
		"at": timestampSchema("when"), "step": enumSchema(vocabulary.Steps, "the step"), "state": stringSchema("the state after the entry; `creating` while a create request is on its way"),
		"key_id": stringSchema("the key that was used"), "request_id": stringSchema("the request that performed the step"), "detail": stringSchema("human-readable detail"),
	}), "the audit log, oldest first")
	return fields
}

package openapi

import (
	"maps"

	"github.com/agentgw/agentgw/adapters"
)

// schemas returns the component schemas.
func (b *builder) schemas() object {
	schemas := object{
		"Agent":              b.agentSchema(),
		"AgentCreateRequest": b.writeSchema("A new agent. Output-only fields (`id`, `usage`, …) are ignored, so that an agent that was read can be sent back.", adapters.InCreate),
		"AgentUpdateRequest": b.writeSchema("A JSON merge patch (RFC 7396) of an agent; `null` clears a field, where the provider documents that it can.", adapters.InUpdate),
	}
	maps.Copy(schemas, listSchemas())
	maps.Copy(schemas, dryRunSchemas())
	maps.Copy(schemas, b.backendSchemas())
	maps.Copy(schemas, b.problemSchemas())
	maps.Copy(schemas, aliasSchemas())
	maps.Copy(schemas, b.migrationSchemas())
	nameObjects(schemas)
	return schemas
}

func listSchemas() object {
	return object{
		"AgentList": objectSchema("A page of agents.", object{
			"object":        object{"type": "string", "const": "list"},
			"data":          arraySchema(ref("schemas", "Agent"), "the agents, in the requested order"),
			"complete":      booleanSchema("whether every backend returned all of its agents"),
			"sources":       arraySchema(ref("schemas", "Source"), "the result of each backend"),
			"next_cursor":   nextCursor(),
			"resume_cursor": orNull(stringSchema("on the last page: the cursor that retries the backends that failed; null if none did")),
			"warnings":      arraySchema(ref("schemas", "Warning"), "warnings about this page"),
		}),
		"Source": objectSchema("The result of one backend in a list.", object{
			"backend":     stringSchema("the name of the backend"),
			"status":      object{"type": "string", "enum": []string{"ok", "stale", "partial", "error"}, "description": "`stale`: served from an older snapshot; `partial`: some agents are missing; `error`: all are missing"},
			"count":       object{"type": "integer", "minimum": 0, "description": "number of agents that match, over all pages"},
			"fetched_at":  timestampSchema("when the agents were fetched from the backend"),
			"unavailable": stringsSchema("fields that this provider never shows"),
			"not_loaded":  stringsSchema("fields that the provider shows, but not in this view"),
			"unfiltered":  stringsSchema("filter fields that at least one agent of the backend does not show; such agents are left out"),
			"error":       ref("schemas", "SourceFailure"),
		}, "fetched_at", "unavailable", "not_loaded", "unfiltered", "error"),
		"SourceFailure": objectSchema("Why the status of a source is not `ok`.", object{
			"code":          stringSchema("one of the error codes"),
			"retry_after_s": orNull(object{"type": "integer", "minimum": 0, "description": "seconds until the backend can be retried; null if unknown"}),
		}),
		"Warning": objectSchema("A problem that did not make the request fail.", object{
			"code":    stringSchema("`unsupported` (dropped, as requested), `not_persisted`, `unverified`, `activation_failed`, and others"),
			"path":    orNull(stringSchema("a JSON pointer (RFC 6901) into the agent; null for the whole agent")),
			"backend": orNull(stringSchema("the backend that the warning is about")),
			"message": stringSchema("human-readable explanation"),
		}),
	}
}

func dryRunSchemas() object {
	return object{
		"Index": objectSchema("What this gateway serves.", object{
			"name":     object{"type": "string", "const": "agentgw"},
			"version":  stringSchema("the version of the gateway"),
			"agents":   stringSchema("the list of agents"),
			"backends": stringSchema("the list of backends"),
			"docs":     stringSchema("the interactive documentation"),
			"errors":   stringSchema("the error codes, with causes and fixes"),
			"openapi":  stringSchema("the OpenAPI document"),
		}),
		"DryRun": objectSchema("The requests that a write would send. Nothing was sent.", object{
			"object":   object{"type": "string", "const": "dry_run"},
			"backend":  stringSchema("the backend that would receive the requests"),
			"requests": arraySchema(ref("schemas", "DryRequest"), "in the order in which they would be sent"),
			"warnings": arraySchema(ref("schemas", "Warning"), "fields that would be dropped, and checks that need a request to the backend"),
		}),
		"DryRequest": objectSchema("A request to a backend, without headers.", object{
			"method": stringSchema("the HTTP method"),
			"path":   stringSchema("the path; `{id}` stands for the id that the backend would assign"),
			"body":   object{"description": "the body in the provider's format; null for none"},
		}),
	}
}

func (b *builder) backendSchemas() object {
	valueSchema := object{"type": "object", "additionalProperties": true, "description": "the JSON Schema of the values that the provider accepts: `type`, and `minLength`, `maxLength`, `minimum`, `maximum`, `enum` or `pattern` where the provider documents one"}
	var providers []string
	for _, p := range b.in.Providers {
		providers = append(providers, p.Provider)
	}
	return object{
		"Backend": objectSchema("A backend that the key maps to.", object{
			"object":   object{"type": "string", "const": "backend"},
			"backend":  stringSchema("the name of the backend; agent ids begin with it"),
			"provider": object{"type": "string", "description": "the provider", "examples": providers},
			"breaker": objectSchema("The circuit breaker.", object{
				"state":         object{"type": "string", "enum": []string{"closed", "open", "half_open"}, "description": "open: no requests are sent to the backend"},
				"retry_after_s": orNull(object{"type": "integer", "minimum": 0, "description": "seconds until the next probe; null unless open"}),
			}),
			"quota": orNull(objectSchema("the remaining quota of the key's credential; null if no quota is configured or reported", object{
				"requests":      object{"type": "integer", "description": "allowed requests per window"},
				"per_s":         object{"type": "number", "description": "length of the window in seconds"},
				"remaining":     object{"type": "integer", "description": "requests left in the current window"},
				"retry_after_s": orNull(object{"type": "integer", "description": "seconds until the next request is allowed; null if one is allowed now"}),
			})),
			"last_success_at": orNull(timestampSchema("when the last call succeeded")),
			"last_error": orNull(objectSchema("the last failure", object{
				"code": stringSchema("one of the error codes"),
				"at":   timestampSchema("when"),
			})),
			"operations": object{"type": "object", "description": "by name: `list`, `get`, `create`, `update`, `delete`", "additionalProperties": ref("schemas", "Operation")},
			"fields":     object{"type": "object", "description": "by dotted field name, such as `model.id`", "additionalProperties": ref("schemas", "FieldSupport")},
			"extensions": object{"type": "object", "description": "the writable provider-specific fields, by the provider's own names", "additionalProperties": ref("schemas", "ExtensionSupport")},
		}),
		"Operation": objectSchema("Whether the provider supports an operation.", object{
			"support": object{"type": "string", "enum": []string{"native", "emulated", "none"}, "description": "`emulated`: the gateway implements it with other operations"},
		}),
		"FieldSupport": objectSchema("Where the provider supports a field.", object{
			"list": booleanSchema("shown in lists"), "get": booleanSchema("shown in the full view"),
			"create": booleanSchema("can be set on create"), "update": booleanSchema("can be changed"),
			"required_for": stringsSchema("the architectures that require it on create; `*` for all"),
			"schema":       valueSchema,
		}),
		"ExtensionSupport": objectSchema("Where a provider-specific field can be written.", object{
			"create": booleanSchema("on create"), "update": booleanSchema("on update"), "schema": valueSchema,
		}),
		"BackendList": objectSchema("The backends that the key maps to.", object{
			"object":      object{"type": "string", "const": "list"},
			"data":        arraySchema(ref("schemas", "Backend"), "in configuration order"),
			"next_cursor": nextCursor(),
		}),
	}
}

func (b *builder) problemSchemas() object {
	var codes []string
	for _, c := range b.in.Codes {
		codes = append(codes, c.Code)
	}
	return object{
		"Problem": objectSchema("An error (RFC 9457).", object{
			"type":       stringSchema("where the cause and the fix are documented"),
			"title":      stringSchema("short summary of the error code"),
			"status":     object{"type": "integer", "minimum": 400, "maximum": 599, "description": "the HTTP status"},
			"code":       enumSchema(codes, "machine-readable error code"),
			"detail":     stringSchema("human-readable explanation of this error"),
			"request_id": stringSchema("the value of X-Request-Id"),
			"trace_id":   stringSchema("the trace id, if the request is traced"),
			"retryable":  booleanSchema("whether the same request may succeed later"),
			"backend":    orNull(stringSchema("the backend that the error is about")),
			"upstream": orNull(objectSchema("The response of the backend; null if there was none.", object{
				"status":  object{"type": "integer", "description": "its HTTP status"},
				"code":    orNull(stringSchema("its machine-readable code, if documented")),
				"message": stringSchema("its text, at most 500 characters; only if the operator allows it for the backend (`relay_errors`)"),
			}, "message")),
			"errors":  arraySchema(ref("schemas", "Violation"), "the violations found in the body, or in the query and the headers"),
			"sources": arraySchema(ref("schemas", "Source"), "for a list: the result of each backend"),
		}, "trace_id"),
		"Violation": objectSchema("A violation in a request. It has exactly one of `pointer`, `parameter` and `header`.", object{
			"pointer":   stringSchema("a JSON pointer (RFC 6901) into the body"),
			"parameter": stringSchema("the name of a query parameter"),
			"header":    stringSchema("the name of a header"),
			"code":      enumSchema([]string{"required", "unsupported", "wrong_type", "invalid_value", "too_long", "immutable", "unknown_field", "unknown_parameter"}, "the kind of violation"),
			"message":   stringSchema("human-readable explanation"),
		}, "pointer", "parameter", "header"),
	}
}

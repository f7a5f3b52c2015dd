package openapi

// operation describes a route.
type operation struct {
	id, tag              string
	summary, description string
	headers              []string // request headers
	body                 string   // schema of the request body
	example              object   // example of the request body
	responses            []response
	codes                []string // error codes, in addition to commonCodes
}

// response is a response that is not an error.
type response struct {
	status, description string
	headers             []string
	media               string // "" for no body
	schema              object
}

const mediaJSON = "application/json"

var (
	readHeaders      = []string{"ETag", "Cache-Control", "Vary", "Cache-Status", "Age", "Server-Timing", "Content-Location"}
	pageHeaders      = []string{"ETag", "Cache-Control", "Vary"}
	writeHeaders     = []string{"ETag", "Vary", "Preference-Applied", "Content-Location"}
	readCodes        = []string{"upstream_rate_limited", "upstream_error", "upstream_bad_response", "upstream_auth_failed", "upstream_unavailable", "upstream_timeout"}
	writeCodes       = append([]string{"unsupported_media_type", "invalid_body", "validation_failed", "unsupported_fields", "upstream_rejected", "operation_unsupported", "write_outcome_unknown"}, readCodes...)
	dryRun           = response{"200", "With `dry_run=true`: the requests that would be sent.", []string{"Vary", "Preference-Applied"}, mediaJSON, ref("schemas", "DryRun")}
	notModified      = response{"304", "Not modified: `If-None-Match` matches.", []string{"ETag", "Cache-Control", "Vary"}, "", nil}
	listNotModified  = response{"304", notModified.description, append([]string{"X-Agentgw-Complete"}, readHeaders...), "", nil}
	agentNotModified = response{"304", notModified.description, readHeaders, "", nil}
)

// operations describes every route, by method and path.
var operations = map[string]operation{
	"GET /v1/agents": {
		id: "listAgents", tag: "agents", summary: "List the agents of all backends",
		description: "Returns a page of the agents of all backends that the key maps to. If a backend fails, the page holds the agents of the others and `complete` is false. Request further pages with `next_cursor` and the same parameters until it is null.",
		headers:     []string{"If-None-Match", "Cache-Control", "Prefer"},
		responses: []response{
			{"200", "The page.", append([]string{"X-Agentgw-Complete"}, readHeaders...), mediaJSON, ref("schemas", "AgentList")}, listNotModified,
		},
		codes: append([]string{"cursor_invalid", "cursor_mismatch"}, readCodes...),
	},
	"GET /v1/agents/{id}": {
		id: "getAgent", tag: "agents", summary: "Get an agent, in full view",
		description: "Returns every field that the provider shows.",
		headers:     []string{"If-None-Match", "Cache-Control"},
		responses:   []response{{"200", "The agent.", readHeaders, mediaJSON, ref("schemas", "Agent")}, agentNotModified},
		codes:       append([]string{"agent_not_found", "store_unavailable"}, readCodes...),
	},
	"POST /v1/agents": {
		id: "createAgent", tag: "agents", summary: "Create an agent",
		description: "Creates an agent at the `backend` named in the body. `backend` can be omitted only if the key can create agents at exactly one backend; `auto` chooses the first backend that supports every field, which the warning `backend_chosen` names. `provider`, `modality` and `architecture` restrict the choice. All violations in the body are reported together, before any upstream request. The agent is read back and returned in full; fields that the provider did not store are in `warnings`. The create is sent at most once; with an `Idempotency-Key` the request can be retried after any failure.",
		headers:     []string{"Idempotency-Key", "Prefer"},
		body:        "AgentCreateRequest",
		example:     object{"backend": "talkifai", "name": "Night Desk", "architecture": "text", "model": object{"id": "gpt-4o-mini"}, "system_prompt": "Answer briefly.", "status": "active"},
		responses: []response{
			{"201", "The new agent.", append([]string{"Location", "Idempotency-Replayed"}, writeHeaders...), mediaJSON, ref("schemas", "Agent")}, dryRun,
		},
		codes: append([]string{"agent_not_found", "backend_required", "no_backend_fits", "idempotency_in_progress", "idempotency_key_reused", "store_unavailable"}, writeCodes...),
	},
	"PATCH /v1/agents/{id}": {
		id: "updateAgent", tag: "agents", summary: "Update an agent",
		description: "A JSON merge patch (RFC 7396): only the fields in the body are sent. If the agent must be read anyway (`If-Match`, a `null`, read-only fields), unchanged fields are not sent. You can also GET an agent, edit it and send it back whole.",
		headers:     []string{"If-Match", "Prefer"},
		body:        "AgentUpdateRequest",
		example:     object{"system_prompt": "Answer briefly, in French.", "language": "fr"},
		responses:   []response{{"200", "The updated agent; with `dry_run=true`, the requests that would be sent.", writeHeaders, mediaJSON, object{"anyOf": []object{ref("schemas", "Agent"), ref("schemas", "DryRun")}}}},
		codes:       append([]string{"agent_not_found", "etag_mismatch", "immutable_field", "store_unavailable"}, writeCodes...),
	},
	"DELETE /v1/agents/{id}": {
		id: "deleteAgent", tag: "agents", summary: "Delete an agent",
		description: "Deletes the agent at the provider. This cannot be undone.",
		headers:     []string{"If-Match"},
		responses:   []response{{"204", "Deleted.", nil, "", nil}, dryRun},
		codes:       append([]string{"agent_not_found", "alias_in_the_way", "store_unavailable", "etag_mismatch", "operation_unsupported", "upstream_rejected", "write_outcome_unknown"}, readCodes...),
	},
	"GET /v1/aliases": {
		id: "listAliases", tag: "aliases", summary: "List the aliases that the key can see",
		description: "Returns the aliases of agents at backends that the key maps to, sorted by name. Request further pages with `next_cursor` until it is null.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The aliases.", pageHeaders, mediaJSON, ref("schemas", "AliasList")}, notModified},
		codes:       []string{"store_unavailable"},
	},
	"GET /v1/aliases/{name}": {
		id: "getAlias", tag: "aliases", summary: "Get an alias",
		description: "Returns the target of an alias.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The alias.", pageHeaders, mediaJSON, ref("schemas", "Alias")}, notModified},
		codes:       []string{"alias_not_found", "store_unavailable"},
	},
	"PUT /v1/aliases/{name}": {
		id: "putAlias", tag: "aliases", summary: "Create an alias or change its target",
		description: "A compare and swap: `version` is the version that was read; 0 or omitted if the alias does not exist. `If-Match` with the ETag that was read does the same. If the alias has the target already, nothing changes and the status is 200. A target that is an alias is resolved, and aliases of this name are changed to the new target, so that no chains are stored. The target agent must exist.",
		headers:     []string{"If-Match"},
		body:        "AliasPutRequest",
		example:     object{"target": "talkifai:agent_abc123", "version": 0},
		responses: []response{
			{"200", "The alias, changed or as it was.", pageHeaders, mediaJSON, ref("schemas", "Alias")},
			{"201", "The new alias.", append([]string{"Location"}, pageHeaders...), mediaJSON, ref("schemas", "Alias")},
		},
		codes: append([]string{"agent_not_found", "alias_conflict", "etag_mismatch", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"}, readCodes...),
	},
	"DELETE /v1/aliases/{name}": {
		id: "deleteAlias", tag: "aliases", summary: "Delete an alias",
		description: "The name no longer resolves; an id means its own agent again. No agent is deleted.",
		headers:     []string{"If-Match"},
		responses:   []response{{"204", "Deleted.", nil, "", nil}},
		codes:       []string{"alias_not_found", "alias_conflict", "etag_mismatch", "store_unavailable"},
	},
	"GET /v1/migrations": {
		id: "listMigrations", tag: "migrations", summary: "List migrations, newest first",
		description: "Returns the migrations of agents that the key can see, without plans. Request further pages with `next_cursor` until it is null.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The page.", pageHeaders, mediaJSON, ref("schemas", "MigrationList")}, notModified},
		codes:       []string{"store_unavailable", "cursor_invalid"},
	},
	"GET /v1/migrations/{id}": {
		id: "getMigration", tag: "migrations", summary: "Get a migration, with its plan and audit log",
		description: "Returns every field of the migration.",
		responses:   []response{migrationResponse("200", "The migration.")},
		codes:       []string{"migration_not_found", "store_unavailable"},
	},
	"POST /v1/migrations": {
		id: "planMigration", tag: "migrations", summary: "Plan a migration",
		description: "Writes to no backend. Reports for every field of the source, exactly once, what the migration does to it. Replaces (200) an earlier plan of the same agent to the same backend that was not applied.",
		body:        "MigrationPlanRequest",
		example:     object{"source": "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "target_backend": "talkifai", "architecture": "pipeline", "maps": object{"model.id": object{"gpt-4o": "gpt-4o"}}},
		responses:   []response{migrationResponse("200", "The plan, which replaces the previous one."), migrationResponse("201", "The plan.", "Location")},
		codes:       append([]string{"agent_not_found", "migration_state", "store_unavailable", "operation_unsupported", "unsupported_media_type", "invalid_body", "validation_failed", "unsupported_fields"}, readCodes...),
	},
	"POST /v1/migrations/{id}/apply": {
		id: "applyMigration", tag: "migrations", summary: "Create the target agent",
		description: "Creates the target agent, inactive where the provider supports it. The source must be unchanged since the plan, and every loss must be accepted by name. A copy of the source is stored first. Retrying after any failure ends with exactly one target.",
		body:        "MigrationApplyRequest",
		example:     object{"plan_hash": "0f8fad5bd9cb469fa16570867728950e", "accept": []string{"data_loss:/avatar"}},
		responses:   []response{migrationResponse("200", "The migration, applied.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "loss_not_accepted", "migration_blocked", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, readCodes...),
	},
	"POST /v1/migrations/{id}/verify": {
		id: "verifyMigration", tag: "migrations", summary: "Compare the target with the plan",
		description: "Reads the target and the source without the cache. The state becomes `verified` if every field is as planned and the source is unchanged. A difference without meaning (a provider that stores a value in its own notation) can be accepted by name, such as `mismatch:/voice/id`.",
		body:        "MigrationVerifyRequest",
		example:     object{"accept": []string{"mismatch:/voice/id"}},
		responses:   []response{migrationResponse("200", "The migration, with its `verification`.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"}, readCodes...),
	},
	"POST /v1/migrations/{id}/shadow": {
		id: "shadowMigration", tag: "migrations", summary: "Shadow reads of the source with reads of the target",
		description: "A share of the reads of the source also reads the target, without delaying the caller, and counts the differences of each field. This proves equal configuration, not equal behaviour on a call.",
		body:        "MigrationShadowRequest",
		example:     object{"percent": 10, "for": "1h"},
		responses:   []response{migrationResponse("200", "The migration, with its `shadow`.")},
		codes:       []string{"migration_not_found", "migration_state", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"},
	},
	"POST /v1/migrations/{id}/cutover": {
		id: "cutoverMigration", tag: "migrations", summary: "Point the source's ids to the target",
		description: "Copies changes made to the source since the plan, activates the target, and creates the aliases. Writes to the source wait until the cutover is done and then go to the target. The source is not changed. `manual` lists the remaining manual steps.",
		body:        "MigrationCutoverRequest",
		example:     object{"activate": true},
		responses:   []response{migrationResponse("200", "The migration, cut over.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "alias_conflict", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, readCodes...),
	},
	"POST /v1/migrations/{id}/rollback": {
		id: "rollbackMigration", tag: "migrations", summary: "Point the ids back to the source",
		description: "Deletes the aliases and deactivates the target. With `delete_target` the target is deleted, if it is unchanged since the last step. Changes that were made only at the target are listed in `warnings`.",
		body:        "MigrationRollbackRequest",
		example:     object{"delete_target": false},
		responses:   []response{migrationResponse("200", "The migration, rolled back.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "alias_in_the_way", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, readCodes...),
	},
	"GET /v1/backends": {
		id: "listBackends", tag: "backends", summary: "List the backends that the key maps to",
		description: "Returns the capabilities and the current state of each backend, in configuration order, without an upstream request. Request further pages with `next_cursor` until it is null.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The backends.", pageHeaders, mediaJSON, ref("schemas", "BackendList")}, notModified},
	},
	"GET /v1/backends/{backend}": {
		id: "getBackend", tag: "backends", summary: "Get a backend",
		description: "Returns the capabilities and the current state of a backend, without an upstream request.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The backend.", pageHeaders, mediaJSON, ref("schemas", "Backend")}, notModified},
		codes:       []string{"backend_not_found"},
	},
	"GET /": {
		id: "getIndex", tag: "documentation", summary: "Get the version, and where things are",
		description: "The addresses are relative to this one.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The index.", pageHeaders, mediaJSON, ref("schemas", "Index")}, notModified},
	},
	"GET /openapi.json": {
		id: "getOpenAPI", tag: "documentation", summary: "Get this document",
		description: "Returns the API as OpenAPI 3.1.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The document.", pageHeaders, mediaJSON, object{"type": "object"}}, notModified},
	},
	"GET /docs": {
		id: "getDocs", tag: "documentation", summary: "Show the interactive documentation",
		description: "The page needs no key; the requests made from it do.",
		responses:   []response{{"200", "The page.", pageHeaders, "text/html", object{"type": "string"}}, notModified},
		headers:     []string{"If-None-Match"},
	},
	"GET /docs/assets/{file}": {
		id: "getDocsAsset", tag: "documentation", summary: "Get a script or style of the documentation",
		description: "Returns a file that `/docs` loads.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The file.", pageHeaders, "*/*", object{"type": "string"}}, notModified},
		codes:       []string{"not_found"},
	},
	"GET /docs/errors": {
		id: "getErrors", tag: "documentation", summary: "Show the error codes, with causes and fixes",
		description: "The page that the `type` of a problem links to.",
		headers:     []string{"If-None-Match"},
		responses:   []response{{"200", "The page.", pageHeaders, "text/html", object{"type": "string"}}, notModified},
	},
}

// migrationResponse is a response with one migration.
func migrationResponse(status, description string, more ...string) response {
	return response{status, description, append(more, "Vary"), mediaJSON, ref("schemas", "Migration")}
}

package openapi

// operation is what is said of a route.
type operation struct {
	id, tag              string
	summary, description string
	headers              []string // of the request
	body                 string   // the schema of the request's body
	example              object   // of the request's body
	answers              []answer
	codes                []string // beside those that every route has
}

// answer is a good answer of a route.
type answer struct {
	status, description string
	headers             []string
	media               string // "" for no body
	schema              object
}

const asJSON = "application/json"

var (
	ofReads   = []string{"ETag", "Cache-Control", "Vary", "Cache-Status", "Age", "Server-Timing", "Content-Location"}
	ofPages   = []string{"ETag", "Cache-Control", "Vary"}
	ofWrites  = []string{"ETag", "Vary", "Preference-Applied", "Content-Location"}
	reading   = []string{"upstream_rate_limited", "upstream_error", "upstream_bad_response", "upstream_auth_failed", "upstream_unavailable", "upstream_timeout"}
	writing   = append([]string{"unsupported_media_type", "invalid_body", "validation_failed", "unsupported_fields", "upstream_rejected", "operation_unsupported", "write_outcome_unknown"}, reading...)
	dryRun    = answer{"200", "With `dry_run=true`: what would be sent.", []string{"Vary", "Preference-Applied"}, asJSON, ref("schemas", "DryRun")}
	same      = answer{"304", "What `If-None-Match` names is as good as the answer.", []string{"ETag", "Cache-Control", "Vary"}, "", nil}
	sameList  = answer{"304", "What `If-None-Match` names is as good as the answer.", append([]string{"X-Agentgw-Complete"}, ofReads...), "", nil}
	sameAgent = answer{"304", same.description, ofReads, "", nil}
)

// operations is what is said of each route, by method and path.
var operations = map[string]operation{
	"GET /v1/agents": {
		id: "listAgents", tag: "agents", summary: "All agents of all backends, merged",
		description: "A page of the agents of all backends that the key maps to. If a backend cannot be asked, the others' agents are answered, and `complete` is false. Walk on with `next_cursor`, with the same parameters, until it is null.",
		headers:     []string{"If-None-Match", "Cache-Control", "Prefer"},
		answers: []answer{
			{"200", "The page.", append([]string{"X-Agentgw-Complete"}, ofReads...), asJSON, ref("schemas", "AgentList")}, sameList,
		},
		codes: append([]string{"cursor_invalid", "cursor_mismatch", "backend_not_found"}, reading...),
	},
	"GET /v1/agents/{id}": {
		id: "getAgent", tag: "agents", summary: "One agent, in full view",
		description: "Everything that the vendor shows of one agent.",
		headers:     []string{"If-None-Match", "Cache-Control"},
		answers:     []answer{{"200", "The agent.", ofReads, asJSON, ref("schemas", "Agent")}, sameAgent},
		codes:       append([]string{"agent_not_found", "store_unavailable"}, reading...),
	},
	"POST /v1/agents": {
		id: "createAgent", tag: "agents", summary: "Create an agent",
		description: "Creates an agent at the `backend` that the body names, or at the first that can hold every member sent. All that is wrong with the body is said at once, before any vendor is asked. The agent is read back and answered in full; what did not stick is in `warnings`. Sent at most once: with an `Idempotency-Key` it can be sent again after any failure.",
		headers:     []string{"Idempotency-Key", "Prefer"},
		body:        "AgentCreate",
		example:     object{"backend": "talkifai", "name": "Night Desk", "architecture": "text", "model": object{"id": "gpt-4o-mini"}, "system_prompt": "Answer briefly.", "status": "active"},
		answers: []answer{
			{"201", "The new agent.", append([]string{"Location", "Idempotency-Replayed"}, ofWrites...), asJSON, ref("schemas", "Agent")}, dryRun,
		},
		codes: append([]string{"backend_not_found", "no_backend_fits", "idempotency_in_progress", "idempotency_key_reused", "store_unavailable"}, writing...),
	},
	"PATCH /v1/agents/{id}": {
		id: "updateAgent", tag: "agents", summary: "Change an agent",
		description: "A JSON merge patch (RFC 7396): what it has is sent, and nothing else. Where the agent must be read anyway (`If-Match`, a `null`, members that cannot change), what does not differ from it is left out. An agent that was read, edited and sent back as it is works too.",
		headers:     []string{"If-Match", "Prefer"},
		body:        "AgentPatch",
		example:     object{"system_prompt": "Answer briefly, in French.", "language": "fr"},
		answers:     []answer{{"200", "The agent as it is now; with `dry_run=true`, what would be sent.", ofWrites, asJSON, object{"anyOf": []object{ref("schemas", "Agent"), ref("schemas", "DryRun")}}}},
		codes:       append([]string{"agent_not_found", "etag_mismatch", "immutable_field", "store_unavailable"}, writing...),
	},
	"DELETE /v1/agents/{id}": {
		id: "deleteAgent", tag: "agents", summary: "Delete an agent",
		description: "Deletes the agent at the vendor, for good.",
		headers:     []string{"If-Match"},
		answers:     []answer{{"204", "It is gone.", nil, "", nil}, dryRun},
		codes:       append([]string{"agent_not_found", "alias_in_the_way", "store_unavailable", "etag_mismatch", "operation_unsupported", "upstream_rejected", "write_outcome_unknown"}, reading...),
	},
	"GET /v1/aliases": {
		id: "listAliases", tag: "aliases", summary: "The aliases that the key can see",
		description: "All aliases that lead to an agent at a backend that the key maps to, by name.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The aliases.", ofPages, asJSON, ref("schemas", "AliasList")}, same},
		codes:       []string{"store_unavailable"},
	},
	"GET /v1/aliases/{name}": {
		id: "getAlias", tag: "aliases", summary: "One alias",
		description: "Where a name leads.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The alias.", ofPages, asJSON, ref("schemas", "Alias")}, same},
		codes:       []string{"alias_not_found", "store_unavailable"},
	},
	"PUT /v1/aliases/{name}": {
		id: "putAlias", tag: "aliases", summary: "Make an alias, or lead it elsewhere",
		description: "A compare and swap: `version` is that of the alias as it was read, 0 (or left out) for one that is not there. A target that is an alias itself is followed to its end, and aliases that lead to this name lead to the new target, so no chain is kept. The agent must be there.",
		headers:     []string{"If-Match"},
		body:        "AliasPut",
		example:     object{"target": "talkifai:agent_abc123", "version": 0},
		answers: []answer{
			{"200", "The alias, led elsewhere.", ofPages, asJSON, ref("schemas", "Alias")},
			{"201", "The new alias.", append([]string{"Location"}, ofPages...), asJSON, ref("schemas", "Alias")},
		},
		codes: append([]string{"agent_not_found", "alias_conflict", "etag_mismatch", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"}, reading...),
	},
	"DELETE /v1/aliases/{name}": {
		id: "deleteAlias", tag: "aliases", summary: "Delete an alias",
		description: "The name leads nowhere any more; an id leads to its own agent again. No agent is deleted.",
		headers:     []string{"If-Match"},
		answers:     []answer{{"204", "It is gone.", nil, "", nil}},
		codes:       []string{"alias_not_found", "alias_conflict", "etag_mismatch", "store_unavailable"},
	},
	"GET /v1/migrations": {
		id: "listMigrations", tag: "migrations", summary: "Migrations, the newest first",
		description: "Those of agents that the key can see, without their plans. Walk on with `next_cursor` until it is null.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "A page of them.", ofPages, asJSON, ref("schemas", "MigrationList")}, same},
		codes:       []string{"store_unavailable", "cursor_invalid", "backend_not_found"},
	},
	"GET /v1/migrations/{id}": {
		id: "getMigration", tag: "migrations", summary: "One migration, with its plan and its trail",
		description: "All that is known of it.",
		answers:     []answer{theMigration("200", "The migration.")},
		codes:       []string{"migration_not_found", "store_unavailable"},
	},
	"POST /v1/migrations": {
		id: "planMigration", tag: "migrations", summary: "Plan the move of an agent",
		description: "Writes to no backend. Says of every field that the source has, exactly once, what becomes of it. A plan of the same agent to the same backend that nothing came of yet is replaced (200).",
		body:        "MigrationPlan",
		example:     object{"source": "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "target_backend": "talkifai", "architecture": "pipeline", "maps": object{"model.id": object{"gpt-4o": "gpt-4o"}}},
		answers:     []answer{theMigration("200", "The plan, in the place of the one before it."), theMigration("201", "The plan.", "Location")},
		codes:       append([]string{"agent_not_found", "backend_not_found", "migration_state", "store_unavailable", "operation_unsupported", "unsupported_media_type", "invalid_body", "validation_failed", "unsupported_fields"}, reading...),
	},
	"POST /v1/migrations/{id}/apply": {
		id: "applyMigration", tag: "migrations", summary: "Make the target",
		description: "Creates the agent at the target, inactive where the vendor can, if the source is as it was planned and every loss is accepted by name. The source as it was is kept first. Sent again after any failure, it ends with exactly one target.",
		body:        "MigrationApply",
		example:     object{"plan_hash": "0f8fad5bd9cb469fa16570867728950e", "accept": []string{"data_loss:/avatar"}},
		answers:     []answer{theMigration("200", "The migration, applied.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "loss_not_accepted", "migration_blocked", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, reading...),
	},
	"POST /v1/migrations/{id}/verify": {
		id: "verifyMigration", tag: "migrations", summary: "Compare the target with the plan",
		description: "Reads the target and the source anew. The state is `verified` if every field is as planned and the source is as it was. A difference that is none (a vendor that writes a value its own way) is accepted by name, `mismatch:/voice/id`.",
		body:        "MigrationVerify",
		example:     object{"accept": []string{"mismatch:/voice/id"}},
		answers:     []answer{theMigration("200", "The migration, with its `verification`.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"}, reading...),
	},
	"POST /v1/migrations/{id}/shadow": {
		id: "shadowMigration", tag: "migrations", summary: "Read the target along with the source",
		description: "A share of the reads of the source read the target too, out of the caller's way, and count per field what differs. It proves equal configuration, not equal behaviour on a call.",
		body:        "MigrationShadow",
		example:     object{"percent": 10, "for": "1h"},
		answers:     []answer{theMigration("200", "The migration, with its `shadow`.")},
		codes:       []string{"migration_not_found", "migration_state", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed"},
	},
	"POST /v1/migrations/{id}/cutover": {
		id: "cutoverMigration", tag: "migrations", summary: "Lead the source's ids to the target",
		description: "Takes over what was changed at the source since it was planned, activates the target, and makes the aliases. Writes to the source wait meanwhile, and go to the target then. The source is not changed. `manual` says what is left to do by hand.",
		body:        "MigrationCutover",
		example:     object{"activate": true},
		answers:     []answer{theMigration("200", "The migration, cut over.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "alias_conflict", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, reading...),
	},
	"POST /v1/migrations/{id}/rollback": {
		id: "rollbackMigration", tag: "migrations", summary: "Lead the source's ids back to it",
		description: "The aliases go, and the target rests. With `delete_target` it is deleted, if nobody changed it since it was left. What was changed at the target only is named in `warnings`.",
		body:        "MigrationRollback",
		example:     object{"delete_target": false},
		answers:     []answer{theMigration("200", "The migration, rolled back.")},
		codes:       append([]string{"migration_not_found", "migration_state", "plan_stale", "target_diverged", "alias_in_the_way", "store_unavailable", "unsupported_media_type", "invalid_body", "validation_failed", "upstream_rejected", "write_outcome_unknown", "agent_not_found"}, reading...),
	},
	"GET /v1/backends": {
		id: "listBackends", tag: "backends", summary: "The backends that the key maps to",
		description: "What each backend is, what it can do, and how it is just now. No vendor is asked.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The backends.", ofPages, asJSON, ref("schemas", "BackendList")}, same},
	},
	"GET /v1/backends/{backend}": {
		id: "getBackend", tag: "backends", summary: "One backend",
		description: "What the backend is, what it can do, and how it is just now. The vendor is not asked.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The backend.", ofPages, asJSON, ref("schemas", "Backend")}, same},
		codes:       []string{"backend_not_found"},
	},
	"GET /openapi.json": {
		id: "getOpenAPI", tag: "documentation", summary: "This description",
		description: "The API as OpenAPI 3.1.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The document.", ofPages, asJSON, object{"type": "object"}}, same},
	},
	"GET /docs": {
		id: "getDocs", tag: "documentation", summary: "A page to read and try the API",
		description: "Needs no key; what is tried there does.",
		answers:     []answer{{"200", "The page.", ofPages, "text/html", object{"type": "string"}}, same},
		headers:     []string{"If-None-Match"},
	},
	"GET /docs/assets/{file}": {
		id: "getDocsAsset", tag: "documentation", summary: "Scripts and styles of the page",
		description: "What `/docs` loads.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The file.", ofPages, "*/*", object{"type": "string"}}, same},
		codes:       []string{"not_found"},
	},
	"GET /docs/errors": {
		id: "getErrors", tag: "documentation", summary: "The error codes, with cause and cure",
		description: "Where the `type` of a problem points to.",
		headers:     []string{"If-None-Match"},
		answers:     []answer{{"200", "The page.", ofPages, "text/html", object{"type": "string"}}, same},
	},
}

func theMigration(status, description string, more ...string) answer {
	return answer{status, description, append(more, "Vary"), asJSON, ref("schemas", "Migration")}
}

// parameter is what is said of a parameter.
type parameter struct {
	description string
	schema      object
	list        bool // several values, parted by commas
	example     any
}

var (
	word  = object{"type": "string"}
	words = object{"type": "array", "items": object{"type": "string", "minLength": 1}, "minItems": 1}
)

var migrationID = parameter{description: "The migration's id.", schema: object{"type": "string", "minLength": 1}, example: "mig_01jd9g6k3r8v5c2x7n4b1m0qwe"}

var pathParameters = map[string]parameter{
	"/v1/agents/{id}":              {description: "The agent's id, one of its `alternate_ids`, or an alias.", schema: object{"type": "string", "minLength": 1}, example: "talkifai:agent_abc123"},
	"/v1/aliases/{name}":           {description: "A slug (`support-bot`), or an agent's id (`klen:123`).", schema: object{"type": "string", "minLength": 1}, example: "support-bot"},
	"/v1/migrations/{id}":          migrationID,
	"/v1/migrations/{id}/apply":    migrationID,
	"/v1/migrations/{id}/verify":   migrationID,
	"/v1/migrations/{id}/shadow":   migrationID,
	"/v1/migrations/{id}/cutover":  migrationID,
	"/v1/migrations/{id}/rollback": migrationID,
	"/v1/backends/{backend}":       {description: "The operator's name of the backend.", schema: object{"type": "string", "minLength": 1}, example: "talkifai"},
	"/docs/assets/{file}":          {description: "The file's name.", schema: object{"type": "string", "minLength": 1}, example: "docs.js"},
}

var queryParameters = map[string]parameter{
	"backend":           {description: "Only these backends.", schema: words, list: true},
	"provider":          {description: "Only backends of these vendors.", schema: words, list: true},
	"status":            {description: "Only agents with one of these values. A backend that does not show the field is named in `unfiltered`; its agents are left out.", schema: words, list: true},
	"architecture":      {description: "As `status`.", schema: words, list: true},
	"direction":         {description: "As `status`.", schema: words, list: true},
	"visibility":        {description: "As `status`.", schema: words, list: true},
	"language":          {description: "As `status`.", schema: words, list: true},
	"modality":          {description: "As `status`.", schema: object{"type": "array", "minItems": 1, "items": object{"type": "string", "enum": []string{"text", "voice", "avatar"}}}, list: true},
	"q":                 {description: "Only agents with this text in their name, description or one of their ids, in any case.", schema: object{"type": "string", "minLength": 1}},
	"view":              {description: "`full` reads every agent of the page by itself where the vendor's list shows less; it costs that many requests there.", schema: object{"type": "string", "enum": []string{"basic", "full"}, "default": "basic"}},
	"include":           {description: "`raw` adds the vendor's own JSON.", schema: object{"type": "array", "minItems": 1, "items": object{"type": "string", "const": "raw"}}, list: true},
	"order_by":          {description: "A field, with `-` in front for descending. The default is the order of the backends, then of ids."},
	"limit":             {description: "How many agents at most.", schema: object{"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
	"cursor":            {description: "`next_cursor` or `resume_cursor` of the page before, with the same parameters and key.", schema: object{"type": "string", "minLength": 1}},
	"require":           {description: "These backends, or `all`, must be complete; if one is not, the answer is its error and not a page.", schema: words, list: true},
	"collapse_migrated": {description: "`true` leaves out agents whose id is an alias of another one by now.", schema: object{"type": "boolean", "default": false}},
	"resolve":           {description: "`none` follows no alias: the agent that has the id itself is meant.", schema: object{"type": "string", "const": "none"}},
	"version":           {description: "Only if the alias is of this version.", schema: object{"type": "integer", "minimum": 1}},
	"state":             {description: "Only those in one of these states.", schema: words, list: true},
	"source":            {description: "Only those of this agent.", schema: object{"type": "string", "minLength": 1}},
	"source_backend":    {description: "Only those of agents of this backend.", schema: object{"type": "string", "minLength": 1}},
	"target_backend":    {description: "Only those to this backend.", schema: object{"type": "string", "minLength": 1}},
	"dry_run":           {description: "`true` does all the checks, sends nothing, and answers what would be sent.", schema: object{"type": "boolean", "default": false}},
}

var headerParameters = map[string]parameter{
	"X-Request-Id":    {description: "Names the request; kept if it is 1 to 128 of `[A-Za-z0-9._-]`.", schema: word},
	"traceparent":     {description: "The caller's trace (W3C Trace Context).", schema: word},
	"If-None-Match":   {description: "Entity tags: if one is the answer's, 304 (RFC 9110).", schema: word},
	"If-Match":        {description: "Entity tags of the agent, or of the alias: if none is what it has now, 412 and nothing is written (RFC 9110).", schema: word},
	"Cache-Control":   {description: "`no-cache` asks the backends again.", schema: word},
	"Prefer":          {description: "`handling=lenient` drops what the backend cannot hold; on a list, `handling=strict` is `require=all` (RFC 7240).", schema: word},
	"Idempotency-Key": {description: "Your own name for this create. The same request with the same key is done once, and answered alike for 24 hours.", schema: object{"type": "string", "minLength": 1, "maxLength": 255}},
}

func header(description string) object {
	return object{"description": description, "schema": object{"type": "string"}}
}

// present is a header that every such answer has.
func present(description string) object {
	h := header(description)
	h["required"] = true
	return h
}

var headers = object{
	"X-Request-Id":         present("The request's id: the caller's, or one that the gateway made."),
	"ETag":                 header("Strong, of an agent's configuration without usage and timestamps; weak, of a list."),
	"Cache-Control":        header("`private, no-cache` on reads of the key's own data; `no-cache` on documentation; `no-store` on errors."),
	"Vary":                 header("What the answer depends on."),
	"Cache-Status":         header("Where the answer came from (RFC 9211)."),
	"Age":                  object{"description": "Of the oldest part of the answer, in seconds.", "schema": object{"type": "integer", "minimum": 0}},
	"Server-Timing":        header("What each backend took, in milliseconds."),
	"X-Agentgw-Complete":   object{"description": "`false` on a list that is not complete.", "schema": object{"type": "string", "const": "false"}},
	"Location":             present("What was made."),
	"Content-Location":     header("The agent's own address, where an alias led to it."),
	"Preference-Applied":   header("`handling=lenient`, if that was preferred."),
	"Idempotency-Replayed": object{"description": "`true` if the same request was answered, or was done, before.", "schema": object{"type": "string", "const": "true"}},
	"Retry-After":          object{"description": "When to come back, in seconds.", "schema": object{"type": "integer", "minimum": 1}},
	"RateLimit":            header("What is left of the key's limit, where it has one (draft-ietf-httpapi-ratelimit-headers)."),
	"RateLimit-Policy":     header("The key's limit, where it has one."),
	"WWW-Authenticate":     present("How to show a key."),
}

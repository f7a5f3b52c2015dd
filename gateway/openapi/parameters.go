package openapi

// parameter describes a path or query parameter, or a request header.
type parameter struct {
	description string
	schema      object
	list        bool // comma-separated values
	example     any
}

var (
	anyString  = object{"type": "string"}
	someString = object{"type": "string", "minLength": 1}
	someValues = object{"type": "array", "items": object{"type": "string", "minLength": 1}, "minItems": 1}
)

var migrationID = parameter{description: "The id of the migration.", schema: someString, example: "mig_01jd9g6k3r8v5c2x7n4b1m0qwe"}

var pathParameters = map[string]parameter{
	"/v1/agents/{id}":              {description: "The agent's id, one of its `alternate_ids`, or an alias.", schema: someString, example: "talkifai:agent_abc123"},
	"/v1/aliases/{name}":           {description: "A slug (`support-bot`), or an agent's id (`klen:123`).", schema: someString, example: "support-bot"},
	"/v1/migrations/{id}":          migrationID,
	"/v1/migrations/{id}/apply":    migrationID,
	"/v1/migrations/{id}/verify":   migrationID,
	"/v1/migrations/{id}/shadow":   migrationID,
	"/v1/migrations/{id}/cutover":  migrationID,
	"/v1/migrations/{id}/rollback": migrationID,
	"/v1/backends/{backend}":       {description: "The name of the backend.", schema: someString, example: "talkifai"},
	"/docs/assets/{file}":          {description: "The name of the file.", schema: someString, example: "docs.js"},
}

// filterDescription holds for every filter on a field.
const filterDescription = "Only agents with one of these values. Agents that do not show the field are left out: the source of their backend names the field in `unfiltered`, and `warnings` has `filter_not_applicable`. The list is complete all the same."

var queryParameters = map[string]parameter{
	"backend":           {description: "Only these backends.", schema: someValues, list: true},
	"provider":          {description: "Only backends of these providers.", schema: someValues, list: true},
	"status":            {description: "For example `active`, `inactive` or `archived`. " + filterDescription, schema: someValues, list: true},
	"architecture":      {description: "For example `pipeline`, `realtime` or `text`. " + filterDescription, schema: someValues, list: true},
	"direction":         {description: filterDescription, schema: someValues, list: true},
	"visibility":        {description: "For example `public`, `private` or `commercial`. " + filterDescription, schema: someValues, list: true},
	"language":          {description: "A language tag such as `en` or `de-CH`, or the provider's own name. " + filterDescription, schema: someValues, list: true},
	"modality":          {description: filterDescription, schema: object{"type": "array", "minItems": 1, "items": object{"type": "string", "enum": []string{"text", "voice", "avatar"}}}, list: true},
	"q":                 {description: "Only agents whose name, description or id contains this text. Case-insensitive.", schema: someString},
	"view":              {description: "`full` fetches each agent of the page separately where the provider's list omits fields, at the cost of one upstream request per agent.", schema: object{"type": "string", "enum": []string{"basic", "full"}, "default": "basic"}},
	"include":           {description: "`raw` adds the provider's own JSON.", schema: object{"type": "array", "minItems": 1, "items": object{"type": "string", "const": "raw"}}, list: true},
	"order_by":          {description: "A field; prefix with `-` for descending order. By default, agents are sorted by backend (in configuration order), then by native id."},
	"limit":             {description: "Maximum number of items per page; more than 1000 means 1000.", schema: object{"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
	"cursor":            {description: "`next_cursor` of the previous page, or `resume_cursor` of a list of agents. Use the same parameters and key.", schema: someString},
	"require":           {description: "Backends, or `all`, that must be complete. If one is not, the response is its error instead of a page.", schema: someValues, list: true},
	"collapse_migrated": {description: "`true` leaves out agents whose id is now an alias of another agent.", schema: object{"type": "boolean", "default": false}},
	"resolve":           {description: "`none` resolves no alias: the id means the agent that has it.", schema: object{"type": "string", "const": "none"}},
	"version":           {description: "Only if this is the current version of the alias.", schema: object{"type": "integer", "minimum": 1}},
	"state":             {description: "Only migrations in one of these states.", schema: someValues, list: true},
	"source":            {description: "Only migrations of this agent.", schema: someString},
	"batch":             {description: "Only migrations that were planned in this batch.", schema: someString},
	"source_backend":    {description: "Only migrations of agents of this backend.", schema: someString},
	"target_backend":    {description: "Only migrations to this backend.", schema: someString},
	"dry_run":           {description: "`true` performs all checks, sends nothing, and returns the requests that would be sent.", schema: object{"type": "boolean", "default": false}},
}

var headerParameters = map[string]parameter{
	"X-Request-Id":    {description: "The id of the request; kept if it is 1 to 128 of `[A-Za-z0-9._-]`.", schema: anyString},
	"traceparent":     {description: "The caller's trace (W3C Trace Context).", schema: anyString},
	"If-None-Match":   {description: "Entity tags. 304 if one matches the response (RFC 9110).", schema: anyString},
	"If-Match":        {description: "Entity tags of the agent or alias. 412, and nothing is written, if none matches its current state (RFC 9110).", schema: anyString},
	"Cache-Control":   {description: "`no-cache` bypasses the cache.", schema: anyString},
	"Prefer":          {description: "`handling=lenient` drops fields that the backend does not support. On a list, `handling=strict` means `require=all` (RFC 7240).", schema: anyString},
	"Idempotency-Key": {description: "A unique value chosen by the caller. A request that repeats the key is executed only once and gets the same response for 24 hours.", schema: object{"type": "string", "minLength": 1, "maxLength": 255}},
}

// optionalHeader describes a response header that can be absent.
func optionalHeader(description string) object {
	return object{"description": description, "schema": object{"type": "string"}}
}

// requiredHeader describes a header that is always present.
func requiredHeader(description string) object {
	h := optionalHeader(description)
	h["required"] = true
	return h
}

var headers = object{
	"X-Request-Id":         requiredHeader("The id of the request: the caller's, or one that the gateway generated."),
	"ETag":                 optionalHeader("With 412, that of the current version. For an agent: a strong tag of its configuration, without usage and timestamps. For a list: a weak tag."),
	"Cache-Control":        optionalHeader("`private, no-cache` on reads of the key's own data; `no-cache` on documentation; `no-store` on errors."),
	"Vary":                 optionalHeader("The request headers that the response depends on."),
	"Cache-Status":         optionalHeader("How the cache handled the request (RFC 9211)."),
	"Age":                  object{"description": "Age of the oldest part of the response, in seconds.", "schema": object{"type": "integer", "minimum": 0}},
	"Server-Timing":        optionalHeader("Duration of the calls to each backend, in milliseconds."),
	"X-Agentgw-Complete":   object{"description": "`false` on an incomplete list.", "schema": object{"type": "string", "const": "false"}},
	"Location":             requiredHeader("The URL of the new resource."),
	"Content-Location":     optionalHeader("The agent's own URL, if an alias was resolved."),
	"Preference-Applied":   optionalHeader("`handling=lenient`, if the request asked for it."),
	"Idempotency-Replayed": object{"description": "`true` if this is the stored response of an earlier request with the same key.", "schema": object{"type": "string", "const": "true"}},
	"Retry-After":          object{"description": "When to retry, in seconds.", "schema": object{"type": "integer", "minimum": 1}},
	"RateLimit":            optionalHeader("The remaining requests of the key, if it has a limit (draft-ietf-httpapi-ratelimit-headers)."),
	"RateLimit-Policy":     optionalHeader("The limit of the key, if it has one."),
	"WWW-Authenticate":     requiredHeader("How to authenticate."),
}

package problem

// Code identifies the kind of a problem to a caller's program. Codes never change.
type Code string

// The codes of problems.
const (
	CodeInvalidParameter      Code = "invalid_parameter"
	CodeInvalidBody           Code = "invalid_body"
	CodeCursorInvalid         Code = "cursor_invalid"
	CodeCursorMismatch        Code = "cursor_mismatch"
	CodeUnauthenticated       Code = "unauthenticated"
	CodeScopeMissing          Code = "scope_missing"
	CodeAgentNotFound         Code = "agent_not_found"
	CodeBackendNotFound       Code = "backend_not_found"
	CodeNotFound              Code = "not_found"
	CodeAliasNotFound         Code = "alias_not_found"
	CodeMigrationNotFound     Code = "migration_not_found"
	CodeAliasConflict         Code = "alias_conflict"
	CodeAliasInTheWay         Code = "alias_in_the_way"
	CodePlanStale             Code = "plan_stale"
	CodeTargetDiverged        Code = "target_diverged"
	CodeMigrationState        Code = "migration_state"
	CodeLossNotAccepted       Code = "loss_not_accepted"
	CodeMigrationBlocked      Code = "migration_blocked"
	CodeMethodNotAllowed      Code = "method_not_allowed"
	CodeNotAcceptable         Code = "not_acceptable"
	CodeRequestTimeout        Code = "request_timeout"
	CodeBodyTooLarge          Code = "body_too_large"
	CodeURITooLong            Code = "uri_too_long"
	CodeUnsupportedMediaType  Code = "unsupported_media_type"
	CodeHeadersTooLarge       Code = "headers_too_large"
	CodeIdempotencyInProgress Code = "idempotency_in_progress"
	CodeETagMismatch          Code = "etag_mismatch"
	CodeValidationFailed      Code = "validation_failed"
	CodeUnsupportedFields     Code = "unsupported_fields"
	CodeImmutableField        Code = "immutable_field"
	CodeNoBackendFits         Code = "no_backend_fits"
	CodeBackendRequired       Code = "backend_required"
	CodeIdempotencyKeyReused  Code = "idempotency_key_reused"
	CodeUpstreamRejected      Code = "upstream_rejected"
	CodeRateLimited           Code = "rate_limited"
	CodeUpstreamRateLimited   Code = "upstream_rate_limited"
	CodeInternal              Code = "internal"
	CodeOperationUnsupported  Code = "operation_unsupported"
	CodeUpstreamError         Code = "upstream_error"
	CodeUpstreamBadResponse   Code = "upstream_bad_response"
	CodeUpstreamAuthFailed    Code = "upstream_auth_failed"
	CodeUpstreamUnavailable   Code = "upstream_unavailable"
	CodeOverloaded            Code = "overloaded"
	CodeDraining              Code = "draining"
	CodeStoreUnavailable      Code = "store_unavailable"
	CodeUpstreamTimeout       Code = "upstream_timeout"
	CodeWriteOutcomeUnknown   Code = "write_outcome_unknown"
)

// CodeInfo describes a code, for responses and documentation.
type CodeInfo struct {
	Code      Code
	Status    int // of the response
	Title     string
	Cause     string // why it happens
	Fix       string // what the caller can do
	Retryable bool   // the same request may succeed later
}

// Codes returns every code, in the order of /docs/errors. The caller must not change it.
func Codes() []CodeInfo { return codes }

var codes = []CodeInfo{
	{CodeInvalidParameter, 400, "Invalid query parameter or header", "A parameter is unknown, was given twice or has a value that is not allowed, two different keys were sent, or the request is not valid HTTP.", "Correct what errors lists, or what detail names.", false},
	{CodeInvalidBody, 400, "Invalid request body", "The body is empty, not JSON, not an object, has a field twice, or is nested too deeply.", "Send one JSON object; detail says where it is invalid.", false},
	{CodeCursorInvalid, 400, "Invalid cursor", "The cursor was truncated, changed or not issued by this gateway, or the gateway was restarted without server.cursor_secret.", "Start again at the first page, without a cursor.", false},
	{CodeCursorMismatch, 400, "The cursor belongs to another list", "The key, a filter, the order or the backends differ from those of the page that returned the cursor.", "Use a cursor only with the key and parameters of the page that returned it.", false},
	{CodeUnauthenticated, 401, "Missing or invalid key", "No key was sent, or the key is unknown, expired, not yet valid or removed. The response does not say which.", "Send a valid key as Authorization: Bearer or X-API-Key.", false},
	{CodeScopeMissing, 403, "The key lacks a scope", "The key is valid, but its scopes do not allow this operation.", "Ask the operator for the scope that detail names.", false},
	{CodeAgentNotFound, 404, "Agent not found", "The agent was deleted, never existed, or is at a backend that the key has no credential for.", "Check the id. GET /v1/agents lists the agents that the key can see.", false},
	{CodeBackendNotFound, 404, "Backend not found", "The backend is not configured, or the key has no credential for it.", "GET /v1/backends lists the backends that the key can use.", false},
	{CodeNotFound, 404, "Route not found", "The gateway serves nothing at this path.", "Check the path; GET /openapi.json lists all routes.", false},
	{CodeAliasNotFound, 404, "Alias not found", "The alias was deleted, never existed, or points to an agent that the key cannot see.", "GET /v1/aliases lists the aliases that the key can see.", false},
	{CodeMigrationNotFound, 404, "Migration not found", "The migration never existed, or the key cannot see its agents.", "GET /v1/migrations lists the migrations that the key can see.", false},
	{CodeMethodNotAllowed, 405, "Method not allowed", "The path exists, but does not support this method.", "Use a method that the Allow header lists.", false},
	{CodeNotAcceptable, 406, "Only JSON is available", "The Accept header excludes JSON.", "Send Accept: application/json.", false},
	{CodeRequestTimeout, 408, "The request did not arrive in time", "The headers took more than 10 s to arrive, or the body more than server.request_timeout.", "Send the request again.", true},
	{CodeBodyTooLarge, 413, "The body is too large", "The body is larger than server.body_limit.", "Send a smaller body, or ask the operator to raise server.body_limit.", false},
	{CodeURITooLong, 414, "The request target is too long", "The path and query together are longer than 8 KiB.", "Send fewer or shorter query parameters.", false},
	{CodeUnsupportedMediaType, 415, "Unsupported media type", "The Content-Type is missing or not supported, or the body is compressed.", "Send an uncompressed body with Content-Type: application/json, or application/merge-patch+json for PATCH.", false},
	{CodeHeadersTooLarge, 431, "The headers are too large", "All headers together are larger than 16 KiB.", "Send fewer or shorter headers.", false},
	{CodeIdempotencyInProgress, 409, "A request with this Idempotency-Key is in progress", "An earlier request with the same Idempotency-Key has not finished.", "Wait as long as Retry-After says, then send the request again.", true},
	{CodeAliasConflict, 409, "Alias conflict", "The alias has changed since its version was read, its name is taken, or it would point back to itself.", "Read the alias again and send its current version.", false},
	{CodeAliasInTheWay, 409, "The id is an alias", "A delete by alias could delete an agent that is not meant.", "Delete the target by its own id, delete the alias, or add ?resolve=none to delete the agent that has the id itself.", false},
	{CodePlanStale, 409, "The plan is out of date", "The source has changed since it was planned, or the hash belongs to another plan.", "Plan the migration again and apply the new plan.", false},
	{CodeTargetDiverged, 409, "The target has changed", "The target was changed after the migration wrote it. The gateway does not overwrite or delete such changes.", "Compare the target with the plan, then plan again or leave the target as it is.", false},
	{CodeMigrationState, 409, "The migration is in another state", "This step is not possible in the current state, or another step is running.", "detail names the current state and the steps that are possible.", false},
	{CodeETagMismatch, 412, "Precondition failed: the agent has changed", "The agent has changed since it was read, or the entity tag in If-Match belongs to another agent.", "Read the agent again and apply the change to its current state.", false},
	{CodeValidationFailed, 422, "Validation failed", "Fields are missing, unknown, of the wrong type, or have values that this backend does not accept.", "Correct the fields that errors lists.", false},
	{CodeUnsupportedFields, 422, "The backend does not support every field", "The provider cannot store some of the fields.", "Remove the fields that errors lists, or send Prefer: handling=lenient to ignore them.", false},
	{CodeImmutableField, 422, "A field cannot be changed", "The provider sets some of these fields only when an agent is created.", "Remove the fields that errors lists, or create a new agent.", false},
	{CodeNoBackendFits, 422, "No backend supports this agent", "None of the backends that the key can use supports every field; detail gives the reason for each.", "Name a backend, or remove the fields that errors lists.", false},
	{CodeBackendRequired, 422, "The body must name a backend", "The key can create agents at several backends, and the body names none of them.", "Send \"backend\" with one of the names in detail, or \"backend\": \"auto\" to have one chosen.", false},
	{CodeIdempotencyKeyReused, 422, "The Idempotency-Key belongs to another request", "The same Idempotency-Key was sent earlier with a different body or preference.", "Use a new Idempotency-Key for each new request.", false},
	{CodeLossNotAccepted, 422, "The migration would lose data", "The plan has a finding of severity data_loss that accept does not list.", "List each finding of errors in accept, or add inputs or maps that keep the data and plan again.", false},
	{CodeMigrationBlocked, 422, "The migration is blocked", "The target requires a value that the plan does not have, or does not support one that it has.", "Add what errors lists to inputs or maps, and plan again.", false},
	{CodeUpstreamRejected, 422, "The backend rejected the request", "The body is valid by the provider's documentation, but the provider returned 400 or 422.", "Check the values against the provider's own rules.", false},
	{CodeRateLimited, 429, "Rate limit exceeded", "The key sent more requests than its rate_limit allows, or has as many stored Idempotency-Keys as a key can have.", "Wait as long as Retry-After says.", true},
	{CodeUpstreamRateLimited, 429, "The backend's rate limit is exceeded", "The provider returned 429, or its quota is known to be used up.", "Wait as long as Retry-After says.", true},
	{CodeInternal, 500, "Internal error", "The gateway has a bug. Its log has the error under the request_id.", "Report the request_id to the operator.", true},
	{CodeOperationUnsupported, 501, "The backend does not support this operation", "The provider documents no such operation.", "GET /v1/backends lists what each backend supports.", false},
	{CodeUpstreamError, 502, "The backend failed", "The backend returned a server error, or the connection to it failed.", "Try again later.", true},
	{CodeUpstreamBadResponse, 502, "Invalid response from the backend", "The response is not JSON, does not match the provider's documentation, is too large, is a redirect, or reports a failure with a 2xx status.", "Try again later. Report it to the operator if it persists.", true},
	{CodeUpstreamAuthFailed, 502, "The backend rejected the credential", "The credential that the key maps to is wrong, expired, or lacks a permission at the provider.", "Ask the operator to check the credential that the key maps to.", false},
	{CodeUpstreamUnavailable, 503, "The backend is unavailable", "The backend returned 503, its circuit breaker is open, or too many requests to it are in progress.", "Wait as long as Retry-After says.", true},
	{CodeOverloaded, 503, "The gateway is overloaded", "The gateway, or this key, has reached its limit of concurrent requests, or of memory for bodies and for responses of providers.", "Wait as long as Retry-After says.", true},
	{CodeDraining, 503, "The gateway is shutting down", "This instance is stopping and accepts no new requests.", "Send the request again on a new connection.", true},
	{CodeStoreUnavailable, 503, "The store is unavailable", "The database cannot be read or written.", "Wait as long as Retry-After says, or send a create without an Idempotency-Key.", true},
	{CodeUpstreamTimeout, 504, "The backend timed out", "The backend took longer than its timeout, or the whole request longer than server.request_timeout.", "Try again later.", true},
	{CodeWriteOutcomeUnknown, 504, "The outcome of the write is unknown", "The write was sent, but its response was lost or does not say whether it succeeded.", "Send a create again if it had an Idempotency-Key, with the same one. Otherwise read the agent, or list the agents, first.", false},
}

var infoByCode = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(codes))
	for _, c := range codes {
		m[c.Code] = c
	}
	return m
}()

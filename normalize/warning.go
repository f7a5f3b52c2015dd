package normalize

// Warning says what of a provider's reply is not as the provider documents, though the
// rest could be read.
type Warning struct {
	Code    WarningCode
	Pointer string // JSON pointer into the provider's reply
	Message string // quotes no value
}

// WarningCode is the code of a Warning, as callers see it.
type WarningCode string

// The codes of warnings.
const (
	// WarnUnexpectedType: a member has another type than documented; it is null in the
	// agent and stands in its extensions.
	WarnUnexpectedType WarningCode = "unexpected_type"
	// WarnDuplicateMember: an object has a member twice; the last one counts.
	WarnDuplicateMember WarningCode = "duplicate_member"
	// WarnUnreadableRow: a row of a list cannot be an agent, and is left out.
	WarnUnreadableRow WarningCode = "unreadable_row"
)

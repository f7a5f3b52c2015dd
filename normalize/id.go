package normalize

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// ID identifies one agent over all backends: the backend's name and the provider's own
// id.
type ID struct {
	Backend string
	Native  string
}

// BackendNamePattern is the regular expression for the name of a backend.
const BackendNamePattern = `^[a-z][a-z0-9-]{0,31}$`

var errID = errors.New("an agent id is backend:key, the key [A-Za-z0-9._-]{1,128} or ~ and base64url")

// ValidBackendName reports whether BackendNamePattern matches s.
func ValidBackendName(s string) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// plainKey reports whether a native id is written into an id unencoded.
func plainKey(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// String returns the id as clients see it: "klen:123", or "klen:~YS9i" for a native
// id with characters that a plain key cannot have.
func (id ID) String() string {
	if plainKey(id.Native) {
		return id.Backend + ":" + id.Native
	}
	return id.Backend + ":~" + base64.RawURLEncoding.EncodeToString([]byte(id.Native))
}

// ParseID parses an id from a URL path: it is unescaped once and split at the first
// colon. An id has exactly one spelling: a key in base64url that could be plain is an
// error.
func ParseID(s string) (ID, error) {
	s, err := url.PathUnescape(s)
	if err != nil {
		return ID{}, errID
	}
	backend, key, ok := strings.Cut(s, ":")
	if !ok || !ValidBackendName(backend) {
		return ID{}, errID
	}
	if plainKey(key) {
		return ID{Backend: backend, Native: key}, nil
	}
	encoded, isEncoded := strings.CutPrefix(key, "~")
	if !isEncoded {
		return ID{}, errID
	}
	native, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(native) == 0 {
		return ID{}, errID
	}
	id := ID{Backend: backend, Native: string(native)}
	if id.String() != s { // it could be plain, or the decoder ignored line breaks
		return ID{}, errID
	}
	return id, nil
}

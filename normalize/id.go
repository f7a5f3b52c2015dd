package normalize

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// ID names one agent over all backends: the backend's name and the vendor's
// own id.
type ID struct {
	Backend string
	Native  string
}

// BackendNamePattern is what a backend can be called.
const BackendNamePattern = `^[a-z][a-z0-9-]{0,31}$`

var errID = errors.New("an agent id is backend:key, the key [A-Za-z0-9._-]{1,128} or ~ and base64url")

// ValidBackendName reports whether s can name a backend: whether BackendNamePattern
// matches it. Each request asks; by hand it takes a tenth of what the pattern takes.
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

// plainKey reports whether a native id stands in an id as it is.
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

// String is the id as clients see it: "klen:123", or "klen:~YS9i" where the
// native id holds other characters than a plain key may.
func (id ID) String() string {
	if plainKey(id.Native) {
		return id.Backend + ":" + id.Native
	}
	return id.Backend + ":~" + base64.RawURLEncoding.EncodeToString([]byte(id.Native))
}

// ParseID reads an id as it stands in a URL path: percent-encoding is undone
// once, and the first colon splits. An id has one spelling only; a key in
// base64url that could stand plain is refused.
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
	if id.String() != s { // it could stand plain, or the decoder passed over line breaks
		return ID{}, errID
	}
	return id, nil
}

package api

import (
	"regexp"
	"strings"
	"testing"
)

// TestValidRequestID checks which of a caller's request ids are used.
func TestValidRequestID(t *testing.T) {
	want := regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	ids := []string{"", "a", ".", "-_.", "a b", "a/b", "é", "a\n", strings.Repeat("x", 128), strings.Repeat("x", 129)}
	for c := range 256 {
		ids = append(ids, "a"+string([]byte{byte(c)}))
	}
	for _, id := range ids {
		if got := validRequestID.Match([]byte(id)); got != want.MatchString(id) {
			t.Errorf("%q: %t", id, got)
		}
	}
}

package agents

import "testing"

func TestFingerprint_ComparesContentNotFormatting(t *testing.T) {
	of := func(body string) [32]byte { return fingerprint(WriteQuery{Body: []byte(body)}) }
	if of(`{"a": 1, "b": [2]}`) != of("{\n\"b\":[2],\"a\":1}") {
		t.Error("bodies that differ only in formatting have different fingerprints")
	}
	for _, other := range []string{`{"a": 9007199254740992}`, `{"a": 1e400}`, `{"a": 9007199254740993, "b": 1}`, `{`} {
		if of(`{"a": 9007199254740993}`) == of(other) {
			t.Errorf("%s has the fingerprint of a different body", other)
		}
	}
}

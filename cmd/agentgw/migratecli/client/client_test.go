package client

import "testing"

func TestAPIError_Text(t *testing.T) {
	f := func(name string, e Error, want string) {
		t.Helper()
		if got := e.Error(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("no violations", Error{Code: "plan_stale", Detail: "the source has changed"}, "plan_stale: the source has changed")
	f("violations are listed", Error{Code: "validation_failed", Detail: "2 violations", Errors: []Violation{{Pointer: "/a", Message: "is empty"}, {Pointer: "/b", Message: "is too long"}}},
		"validation_failed: 2 violations\n  /a: is empty\n  /b: is too long")
	f("a Violation that the detail repeats", Error{Code: "validation_failed", Detail: "/a: is empty", Errors: []Violation{{Pointer: "/a", Message: "is empty"}}}, "validation_failed: /a: is empty")
	f("members of the body are flags", Error{Code: "validation_failed", Detail: "/inputs/nmae: unknown field (and 1 more, see errors)", Errors: []Violation{
		{Pointer: "/inputs/nmae", Message: "unknown field"}, {Pointer: "/maps/voice.id/nova", Message: "is empty"}}},
		"validation_failed: --set nmae: unknown field\n  --map, section voice.id, value nova: is empty")
	f("parameters are flags", Error{Code: "invalid_parameter", Detail: "source_backend: no backend krosia", Errors: []Violation{{Parameter: "source_backend", Message: "no backend krosia"}}},
		"invalid_parameter: --from: no backend krosia")
	f("a rejected key", Error{Code: "unauthenticated", Detail: "send a valid key as Authorization: Bearer", baseURL: "http://gw"},
		"unauthenticated: http://gw rejected the key; check AGENTGW_KEY or --key")
}

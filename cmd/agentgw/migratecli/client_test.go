package migratecli

import "testing"

func TestAPIError_Text(t *testing.T) {
	f := func(name string, e apiError, want string) {
		t.Helper()
		if got := e.Error(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("no violations", apiError{Code: "plan_stale", Detail: "the source has changed"}, "plan_stale: the source has changed")
	f("violations are listed", apiError{Code: "validation_failed", Detail: "2 violations", Errors: []violation{{Pointer: "/a", Message: "is empty"}, {Pointer: "/b", Message: "is too long"}}},
		"validation_failed: 2 violations\n  /a: is empty\n  /b: is too long")
	f("a violation that the detail repeats", apiError{Code: "validation_failed", Detail: "/a: is empty", Errors: []violation{{Pointer: "/a", Message: "is empty"}}}, "validation_failed: /a: is empty")
	f("members of the body are flags", apiError{Code: "validation_failed", Detail: "/inputs/nmae: unknown field (and 1 more, see errors)", Errors: []violation{
		{Pointer: "/inputs/nmae", Message: "unknown field"}, {Pointer: "/maps/voice.id/nova", Message: "is empty"}}},
		"validation_failed: --set nmae: unknown field\n  --map, section voice.id, value nova: is empty")
	f("parameters are flags", apiError{Code: "invalid_parameter", Detail: "source_backend: no backend krosia", Errors: []violation{{Parameter: "source_backend", Message: "no backend krosia"}}},
		"invalid_parameter: --from: no backend krosia")
	f("a rejected key", apiError{Code: "unauthenticated", Detail: "send a valid key as Authorization: Bearer", baseURL: "http://gw"},
		"unauthenticated: http://gw rejected the key; check AGENTGW_KEY or --key")
}

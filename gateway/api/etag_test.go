package api

import "testing"

func TestMatchesAny(t *testing.T) {
	f := func(want bool, etag string, lines ...string) {
		t.Helper()
		if got := matchesAny(lines, etag); got != want {
			t.Errorf("%q in %q: %v", etag, lines, got)
		}
	}
	f(true, `"a"`, `"a"`)
	f(true, `"a"`, `W/"a"`)
	f(true, `W/"a"`, `"a"`)
	f(true, `"a"`, `"b", W/"a"`)
	f(true, `"a"`, `"b"`, `"c" , "a"`)
	f(true, `"a"`, `*`)
	f(true, `"a"`, ` "x,y" ,"a"`)
	f(false, `"a"`, `"b", "aa"`)
	f(false, `"a"`, `a`)
	f(false, `"a"`, `"x, "a"`)
	f(false, `"a"`, `"`)
	f(false, `"a"`, ``)
	f(false, `"a"`)
}

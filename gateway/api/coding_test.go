package api

import (
	"testing"

	"github.com/agentgw/agentgw/gateway/payload"
)

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

func TestPreferredCoding(t *testing.T) {
	f := func(header string, want payload.Coding) {
		t.Helper()
		if got := preferredCoding([]string{header}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	f("", payload.Identity)
	f("gzip", payload.Gzip)
	f("GZIP", payload.Gzip)
	f("x-gzip", payload.Gzip)
	f("gzip, deflate, br, zstd", payload.Zstd)
	f("gzip;q=1.0, zstd;q=0.5", payload.Gzip)
	f("zstd;q=0, gzip;q=0.1", payload.Gzip)
	f("*", payload.Zstd)
	f("*;q=0.5, zstd;q=0", payload.Gzip)
	f("identity, gzip;q=0.5", payload.Identity)
	f("identity;q=0.5, gzip", payload.Gzip)
	f("br", payload.Identity)
	f("gzip;q=x", payload.Identity)
	f("gzip;q=-1", payload.Identity)
	f("gzip;q=NaN", payload.Identity)
	f("gzip;level=3", payload.Identity)
}

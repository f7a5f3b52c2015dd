package negotiate

import (
	"testing"

	"github.com/agentgw/agentgw/gateway/payload"
)

func TestPreferredCoding(t *testing.T) {
	f := func(header string, want payload.Coding) {
		t.Helper()
		if got := PreferredCoding([]string{header}); got != want {
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

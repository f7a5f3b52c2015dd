package browser

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/internal/demotest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
)

//go:embed testdata/docs.mjs
var docsScript []byte

// TestDocsPage runs testdata/docs.mjs: /docs loads without a browser error and without a
// request to another host, and a request that is tried on it is answered, also behind a proxy
// that strips a prefix of the path.
func TestDocsPage(t *testing.T) {
	folder, browser, running := scriptFolder(t), npmtest.Browser(t), demotest.Start(t)
	npmtest.Write(t, folder, "docs.mjs", docsScript)
	gateway, err := url.Parse(running.API)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/gateway", httputil.NewSingleHostReverseProxy(gateway)))
	defer proxy.Close()
	for _, base := range []string{running.API, proxy.URL + "/gateway"} {
		out := npmtest.Run(t, folder, []string{"KEY=" + running.Key}, "node", "docs.mjs", base, browser, filepath.Join(npmtest.Pictures(t), "docs.png"))
		if !strings.Contains(out, "18 agents") {
			t.Errorf("%s: the script printed %s", base, out)
		}
	}
}

package browser

import (
	_ "embed"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/internal/demotest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
)

//go:embed testdata/docs.mjs
var docsScript []byte

// TestDocsPage runs testdata/docs.mjs: /docs loads without a browser error and without a
// request to another host, and a request that is tried on it is answered.
func TestDocsPage(t *testing.T) {
	folder, browser, running := scriptFolder(t), npmtest.Browser(t), demotest.Start(t)
	npmtest.Write(t, folder, "docs.mjs", docsScript)
	out := npmtest.Run(t, folder, []string{"KEY=" + running.Key}, "node", "docs.mjs", running.API, browser, filepath.Join(npmtest.Pictures(t), "docs.png"))
	if !strings.Contains(out, "18 agents") {
		t.Errorf("the script printed %s", out)
	}
}

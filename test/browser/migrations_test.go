package browser

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/agentgw/agentgw/test/internal/gatewaytest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
)

//go:embed testdata/migrations.mjs
var migrationsScript []byte

// TestMigrations runs testdata/migrations.mjs, which looks at /console/migrations and controls
// a migration by requests to this test.
func TestMigrations(t *testing.T) {
	folder, browser := scriptFolder(t), npmtest.Browser(t)
	g := gatewaytest.Start(t, gatewaytest.Options{})
	page := httptest.NewServer(g.Admin())
	t.Cleanup(page.Close)
	const source = "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890"
	var id, target string
	ask := func(method, path, body string) map[string]any {
		t.Helper()
		r, err := g.Ask(t.Context(), "acme", method, path, body)
		if err != nil || r.Status >= 300 {
			t.Errorf("%s %s: %d %s, %v", method, path, r.Status, r.Text, err)
			return nil
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(r.Text), &answer); err != nil {
			t.Error(err)
		}
		return answer
	}
	step := func(name, body string) map[string]any { return ask("POST", "/v1/migrations/"+id+"/"+name, body) }
	control := http.NewServeMux()
	control.HandleFunc("POST /plan", func(http.ResponseWriter, *http.Request) {
		ask("PATCH", "/v1/agents/"+source, `{"system_prompt": "canary"}`)
		id, _ = ask("POST", "/v1/migrations", `{"source": "`+source+`", "target_backend": "talkifai", "architecture": "text", "inputs": {"model.id": "gpt-4o"}}`)["id"].(string)
	})
	control.HandleFunc("POST /shadow", func(http.ResponseWriter, *http.Request) {
		now := ask("GET", "/v1/migrations/"+id, "")
		losses, _ := json.Marshal(now["losses"])
		applied := step("apply", fmt.Sprintf(`{"plan_hash": %q, "accept": %s}`, now["plan_hash"], losses))
		target, _ = applied["target"].(string)
		step("verify", "")
		step("shadow", `{"percent": 100, "for": "1h"}`)
		ask("PATCH", "/v1/agents/"+target, `{"language": "de"}`)
	})
	control.HandleFunc("POST /read", func(http.ResponseWriter, *http.Request) { ask("GET", "/v1/agents/"+source, "") })
	control.HandleFunc("POST /cutover", func(http.ResponseWriter, *http.Request) {
		was := ask("GET", "/v1/agents/"+source, "")
		ask("PATCH", "/v1/agents/"+target, fmt.Sprintf(`{"language": %q}`, was["language"]))
		step("cutover", `{}`)
	})
	npmtest.Write(t, folder, "migrations.mjs", migrationsScript)
	look(t, folder, browser, "migrations.mjs", page.URL, control)
}

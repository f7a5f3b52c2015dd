package observability

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/test/internal/demotest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
)

// tool returns the path of one of Prometheus' programs. Without it the test is skipped, or
// fails if CI is set.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("there is no %s", name)
		}
		t.Skipf("there is no %s on this machine", name)
	}
	return path
}

// TestPromtool tests that promtool accepts the configuration and the rules, that the rules'
// own tests pass, and that each alert has a test that fires and one that does not.
func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	npmtest.Run(t, deploy, nil, promtool, "check", "config", "prometheus.yaml")
	npmtest.Run(t, filepath.Join(deploy, "rules"), nil, promtool, "check", "rules", "agentgw.yaml")
	npmtest.Run(t, filepath.Join(deploy, "rules"), nil, promtool, "test", "rules", "agentgw_test.yaml")
	tests := deployed(t, "rules/agentgw_test.yaml")
	for _, r := range rules(t) {
		if r.Alert != "" && strings.Count(tests, r.Alert) < 2 {
			t.Errorf("%s is not tested both ways", r.Alert)
		}
	}
}

type rule struct {
	Alert, Record, Expr string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "rules/agentgw.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// dashboard is the part of Grafana's JSON that is tested.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			Expr     string
			Exemplar bool
		}
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	folder := filepath.Join(deploy, "grafana", "dashboards")
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var d dashboard
		all[entry.Name()] = d
		err = json.Unmarshal(data, &d)
		all[entry.Name()] = d
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDashboards tests that ids are unique, that no panel overlaps another, and that each
// panel has a query.
func TestDashboards(t *testing.T) {
	uids := map[string]string{}
	for name, d := range dashboards(t) {
		if other := uids[d.UID]; other != "" || d.UID == "" {
			t.Errorf("%s and %s are both %q", name, other, d.UID)
		}
		uids[d.UID] = name
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if ids[p.ID] || len(p.Targets) == 0 || p.Title == "" {
				t.Errorf("%s: panel %d %q: a second one of that id, or nothing is asked", name, p.ID, p.Title)
			}
			ids[p.ID] = true
			for _, q := range d.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %q lies on %q", name, p.Title, q.Title)
				}
			}
		}
	}
	if len(uids) != 6 {
		t.Errorf("%d dashboards", len(uids))
	}
}

// prometheus is a running Prometheus.
type prometheus struct{ url string }

// startPrometheus starts a Prometheus with deploy's configuration and short intervals. It
// scrapes a gateway and ends with the test.
func startPrometheus(t *testing.T, admin string) prometheus {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	npmtest.Write(t, folder, "rules/agentgw.yaml", []byte(deployed(t, "rules/agentgw.yaml")))
	configuration := strings.NewReplacer("127.0.0.1:9090", strings.TrimPrefix(admin, "http://"), "scrape_interval: 5s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s").
		Replace(deployed(t, "prometheus.yaml"))
	npmtest.Write(t, folder, "prometheus.yaml", []byte(configuration))
	listen := freeAddress(t)
	start(t, tool(t, "prometheus"), "--config.file="+filepath.Join(folder, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--enable-feature=exemplar-storage", "--web.listen-address="+listen, "--log.level=warn")
	p := prometheus{"http://" + listen}
	waittest.Until(t, "Prometheus", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return p
}

// ask decodes the data of a response of Prometheus' HTTP API.
func (p prometheus) ask(path string, query url.Values, into any) error {
	resp, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// samples returns the current values of an expression.
func (p prometheus) samples(expression string) ([]string, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := p.ask("/api/v1/query", url.Values{"query": {expression}}, &data); err != nil {
		return nil, err
	}
	var values []string
	for _, r := range data.Result {
		values = append(values, fmt.Sprint(r.Value[1]))
	}
	return values, nil
}

// comparison matches the comparison of an alert's condition. With the modifier bool it yields
// 0 rather than nothing while the alert does not fire.
var comparison = regexp.MustCompile(` ([<>]) ([0-9.]+)`)

// TestQueries_ReturnData tests each query of each dashboard and each rule on a Prometheus that
// scrapes a gateway with traffic, and that exemplars name traces that a collector received.
func TestQueries_ReturnData(t *testing.T) {
	tool(t, "prometheus")
	c := startCollector(t, deployed(t, "collector.yaml"))
	sendTo(t, c.endpoint)
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	running := demotest.Start(t, "--traffic", "25", "--log", "error")
	p := startPrometheus(t, running.Admin)

	queries := map[string]string{}
	variables := strings.NewReplacer("$backend", ".+", "$source", "talkifai", "$target", "krosai", "$__rate_interval", "30s")
	for name, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for i, target := range panel.Targets {
				queries[fmt.Sprintf("%s: %s (%d)", name, panel.Title, i+1)] = variables.Replace(target.Expr)
			}
		}
		for _, v := range d.Templating.List {
			if definition, ok := v.Query.(map[string]any); ok {
				label := regexp.MustCompile(`label_values\((\w+)(?:{[^}]*})?, (\w+)\)`).FindStringSubmatch(fmt.Sprint(definition["query"]))
				queries[name+": the variable "+v.Name] = fmt.Sprintf("count by (%s) (%s)", label[2], label[1])
			}
		}
	}
	var down string
	for _, r := range rules(t) {
		if r.Alert == "AgentgwDown" {
			down = r.Expr
			continue
		}
		queries["rule "+r.Alert+r.Record] = comparison.ReplaceAllString(r.Expr, " $1 bool $2")
	}
	t.Logf("%d queries", len(queries))
	for name, expression := range queries {
		waittest.Until(t, name+" to return data: "+expression, func() bool {
			values, err := p.samples(expression)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, expression, err)
			}
			return slices.ContainsFunc(values, func(v string) bool { return v != "NaN" })
		})
	}
	checkExemplars(t, p, c)
	checkMetricNames(t, running.Admin)

	running.Stop()
	waittest.Until(t, "AgentgwDown", func() bool {
		values, err := p.samples(down)
		return err == nil && len(values) > 0
	})
}

// checkExemplars tests that exemplars name spans that the collector received.
func checkExemplars(t *testing.T, p prometheus, c *collector) {
	t.Helper()
	for _, metric := range []string{"http_server_request_duration_seconds_bucket", "http_client_request_duration_seconds_bucket"} {
		waittest.Until(t, "an exemplar of "+metric+" whose trace arrived", func() bool {
			var data []struct {
				Exemplars []struct{ Labels map[string]string }
			}
			now := time.Now().Unix()
			if err := p.ask("/api/v1/query_exemplars", url.Values{"query": {metric}, "start": {fmt.Sprint(now - 300)}, "end": {fmt.Sprint(now)}}, &data); err != nil {
				t.Fatal(err)
			}
			for _, series := range data {
				for _, e := range series.Exemplars {
					for _, s := range c.arrived(e.Labels["trace_id"]) {
						if e.Labels["trace_id"] != "" && s.id == e.Labels["span_id"] {
							return true
						}
					}
				}
			}
			return false
		})
	}
}

// checkMetricNames lints the page with promtool. Remarks on names that OpenTelemetry or
// Prometheus define are ignored.
func checkMetricNames(t *testing.T, admin string) {
	t.Helper()
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cmd := exec.Command(tool(t, "promtool"), "check", "metrics")
	cmd.Stdin = resp.Body
	out, _ := cmd.CombinedOutput() // it fails for remarks too
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "agentgw_") || strings.Contains(line, "error while linting") {
			t.Errorf("promtool says %s", line)
		}
	}
}

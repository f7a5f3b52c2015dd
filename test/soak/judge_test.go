package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

// request is a request, and the statuses of its possible responses.
type request struct {
	method, path, body string
	headers            []string
	status             []int
}

// list reports whether the request is for a list of agents.
func (q request) list() bool {
	return q.method == "GET" && (strings.HasPrefix(q.path, "/v1/agents?") || q.path == "/v1/agents")
}

var reads = []string{
	"/v1/agents", "/v1/agents?limit=2", "/v1/agents?order_by=-name", "/v1/agents?status=active", "/v1/agents?q=a&limit=3",
	"/v1/agents?backend=klen", "/v1/agents?view=full&backend=talkifai", "/v1/agents?require=all", "/v1/agents?include=raw&limit=1",
}

var agents = []string{
	"klen:123", "klen:assistant_abc123", "agenthuman:123", "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "talkifai:agent_abc123", "talkifai:agent_def456",
}

// failures are the statuses of a failed backend.
var failures = []int{404, 422, 429, 502, 503, 504}

func randomRequest() request {
	switch n := rand.IntN(100); {
	case n < 40:
		r := request{method: "GET", path: reads[rand.IntN(len(reads))], status: append([]int{200, 400}, failures...)}
		switch rand.IntN(6) {
		case 0:
			r.headers = []string{"Cache-Control: no-cache"}
		case 1:
			r.headers = []string{"If-None-Match: *"}
			r.status = append(r.status, 304)
		}
		return r
	case n < 70:
		return request{method: "GET", path: "/v1/agents/" + agents[rand.IntN(len(agents))], status: append([]int{200}, failures...)}
	case n < 78:
		return request{method: "PATCH", path: "/v1/agents/" + agents[2+rand.IntN(4)], body: fmt.Sprintf(`{"name": "Name %d"}`, rand.IntN(100)), status: append([]int{200}, failures...)}
	case n < 84:
		body := `{"backend": "krosai", "name": "made-by-soak"}`
		if rand.IntN(2) == 0 {
			body = `{"backend": "talkifai", "name": "made-by-soak", "architecture": "text", "model": {"id": "gpt-4o"}, "system_prompt": "x", "status": "active"}`
		}
		return request{method: "POST", path: "/v1/agents", body: body, status: append([]int{201}, failures...)}
	case n < 88:
		return request{method: "GET", path: "/v1/backends", status: []int{200}}
	case n < 92:
		return request{method: "HEAD", path: "/v1/agents", status: append([]int{200}, failures...)}
	}
	return wrong[rand.IntN(len(wrong))]
}

// wrong are invalid requests.
var wrong = []request{
	{method: "GET", path: "/v1/agents?colour=red", status: []int{400}},
	{method: "GET", path: "/v1/agents?cursor=c1.x", status: []int{400}},
	{method: "GET", path: "/v1/agents/klen:none", status: append([]int{404}, failures...)},
	{method: "GET", path: "/v1/nothing", status: []int{404}},
	{method: "BREW", path: "/v1/agents", status: []int{405}},
	{method: "POST", path: "/v1/agents", body: `{"backend": "klen", "name": "x"}`, status: []int{422, 501}},
	{method: "POST", path: "/v1/agents", body: `{`, status: []int{400}},
	{method: "POST", path: "/v1/agents", body: `{"name": "` + strings.Repeat("x", 1<<20) + `"}`, status: []int{413}},
	{method: "GET", path: "/v1/agents", headers: []string{"Authorization: Bearer agw_test_nobody"}, status: []int{401}},
}

// judge checks a response against the contract.
func (s *soak) judge(tenant string, q request, r gatewaytest.Reply) {
	wrong := func(format string, args ...any) {
		s.trouble("%s %s: %d %.300s: %s", q.method, q.path, r.Status, r.Text, fmt.Sprintf(format, args...))
	}
	if !slices.Contains(q.status, r.Status) {
		wrong("want one of %v", q.status)
	}
	if r.Header.Get("X-Request-Id") == "" {
		wrong("no X-Request-Id")
	}
	for other, canary := range s.canaries {
		if other != tenant && strings.Contains(r.Text, canary) {
			wrong("it contains an agent of %s", other)
		}
	}
	for _, secret := range s.hidden {
		if strings.Contains(r.Text, secret) || strings.Contains(fmt.Sprint(r.Header), secret) {
			wrong("it contains %.12s…", secret)
		}
	}
	switch {
	case q.method == "HEAD" || r.Status == 304:
	case r.Status >= 400:
		judgeProblem(q, r, wrong)
	case q.list():
		judgeList(q, r, wrong)
	case q.method == "GET" && strings.HasPrefix(q.path, "/v1/agents/"):
		for _, member := range []string{"id", "backend", "name", "extensions", "unavailable", "not_loaded"} {
			if _, ok := r.Body[member]; !ok {
				wrong("no %s", member)
			}
		}
	}
}

func judgeProblem(q request, r gatewaytest.Reply, wrong func(string, ...any)) {
	known := slices.ContainsFunc(problem.Codes(), func(c problem.CodeInfo) bool {
		return string(c.Code) == r.Code() && c.Status == r.Status
	})
	if !known || r.Header.Get("Content-Type") != "application/problem+json" {
		wrong("%q as %s is no code of that status", r.Code(), r.Header.Get("Content-Type"))
	}
	if r.Body["request_id"] != r.Header.Get("X-Request-Id") {
		wrong("request_id %v, header %s", r.Body["request_id"], r.Header.Get("X-Request-Id"))
	}
	// A list fails only if each of its sources does, unless require demands more.
	if sources, _ := r.Body["sources"].([]any); q.list() && r.Status >= 429 && !strings.Contains(q.path, "require=") && r.Code() != "overloaded" {
		failed := slices.IndexFunc(sources, func(s any) bool { return s.(map[string]any)["status"] != "error" }) < 0
		if len(sources) == 0 || !failed {
			wrong("not all of its sources failed")
		}
	}
	if (r.Status == 429 || r.Status == 503) && r.Header.Get("Retry-After") == "" {
		wrong("no Retry-After")
	}
}

func judgeList(q request, r gatewaytest.Reply, wrong func(string, ...any)) {
	sources, _ := r.Body["sources"].([]any)
	want := 4
	if strings.Contains(q.path, "backend=") {
		want = 1
	}
	if len(sources) != want || r.Body["object"] != "list" {
		wrong("%d sources, want %d", len(sources), want)
		return
	}
	complete, served := true, map[string]bool{}
	for _, source := range sources {
		source := source.(map[string]any)
		complete = complete && source["status"] == "ok"
		served[source["backend"].(string)] = source["status"] != "error"
		if source["status"] == "error" && source["error"] == nil {
			wrong("%s failed for no reason", source["backend"])
		}
	}
	if r.Body["complete"] != complete || (r.Header.Get("X-Agentgw-Complete") == "false") == complete {
		wrong("complete is %v, its sources say %v", r.Body["complete"], complete)
	}
	if strings.Contains(q.path, "require=all") && !complete {
		wrong("all were required")
	}
	for _, a := range r.Body["data"].([]any) {
		backend, _ := a.(map[string]any)["backend"].(string)
		if !served[backend] {
			wrong("an agent of %s, which failed", backend)
		}
	}
}

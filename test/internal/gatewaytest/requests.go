package gatewaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/internal/openapitest"
	"github.com/agentgw/agentgw/internal/waittest"
)

// Reply is a response of the gateway.
type Reply struct {
	Status int
	Header http.Header
	Text   string
	Body   map[string]any // of JSON
}

// Code returns the code of a problem, or an empty string.
func (r Reply) Code() string {
	code, _ := r.Body["code"].(string)
	return code
}

// Source returns a list's source for a backend, or nil.
func (r Reply) Source(backend string) map[string]any {
	sources, _ := r.Body["sources"].([]any)
	for _, s := range sources {
		if s := s.(map[string]any); s["backend"] == backend {
			return s
		}
	}
	return nil
}

// Ask sends a request with a tenant's key and checks the response against the OpenAPI
// document. headers are "Name: value". It returns an error if no response arrives within
// waittest.HangGuard.
func (g *Gateway) Ask(ctx context.Context, tenant, method, path, body string, headers ...string) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, waittest.HangGuard)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.URL+path, strings.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+g.Keys[tenant])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := g.Client.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r := Reply{Status: resp.StatusCode, Header: resp.Header, Text: string(text)}
	if err != nil {
		return r, err
	}
	if err := g.check(resp, text); err != nil {
		return r, err
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(text) > 0 {
		err = json.Unmarshal(text, &r.Body)
	}
	return r, err
}

// Of the responses with one method and status, the first checkedFirst are checked against
// the document, then one in checkedOneIn: the check takes longer than the request.
const (
	checkedFirst = 20
	checkedOneIn = 25
)

var (
	documentMu  sync.Mutex
	theDocument *openapitest.Document
	responses   sync.Map // *atomic.Int64, how many there were, by method and status
)

// check checks a response against the OpenAPI document, which all gateways of a process
// share.
func (g *Gateway) check(resp *http.Response, body []byte) error {
	document := g.document()
	if document == nil {
		return nil
	}
	seen, _ := responses.LoadOrStore(fmt.Sprint(resp.Request.Method, resp.StatusCode), &atomic.Int64{})
	if n := seen.(*atomic.Int64).Add(1); n > checkedFirst && n%checkedOneIn != 0 {
		return nil
	}
	return document.Check(resp, body)
}

// document returns the OpenAPI document, or nil until a gateway has returned it: a test may
// have overloaded the first one.
func (g *Gateway) document() *openapitest.Document {
	documentMu.Lock()
	defer documentMu.Unlock()
	if theDocument == nil {
		if d, err := openapitest.Fetch(g.Client, g.URL); err == nil {
			theDocument = d
		}
	}
	return theDocument
}

// Metrics is a page of /metrics.
type Metrics string

// Metrics reads the page that Prometheus would read.
func (g *Gateway) Metrics() Metrics {
	w := httptest.NewRecorder()
	g.page.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	return Metrics(w.Body.String())
}

// Sum returns the sum of a metric's samples whose labels include all of these.
func (m Metrics) Sum(metric string, labels ...string) int {
	sum := 0.0
	for line := range strings.Lines(string(m)) {
		rest, ok := strings.CutPrefix(line, metric)
		if !ok || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(rest, label) }) {
			continue
		}
		var value float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &value); err != nil {
			panic(fmt.Sprintf("%s: %v", line, err)) // the page is not in Prometheus' format
		}
		sum += value
	}
	return int(sum)
}

package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/gateway/apikey"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/sandbox"
)

// memoryGateway is a gateway whose providers, store and connections are in memory.
type memoryGateway struct {
	t         *testing.T
	gateway   *Gateway
	server    *api.Server
	telemetry *telemetry.Telemetry
	store     *sqlstore.Store
	emulators map[string]sandbox.Emulator
	etags     map[string]string // the last one, by key and path
	cursors   map[string]string // likewise
}

// propertyKeys are the same for all memory gateways.
var propertyKeys = map[string]string{keyAcme: apikey.New(apikey.Test), keyRead: apikey.New(apikey.Test), keyKlen: apikey.New(apikey.Test)}

func newMemoryGateway(t *testing.T) *memoryGateway {
	g := &memoryGateway{t: t, emulators: map[string]sandbox.Emulator{}, etags: map[string]string{}, cursors: map[string]string{}}
	var providers []adapters.Provider
	for _, e := range all.Entries() {
		emulator := e.Emulator()
		g.emulators[e.Info.Provider] = emulator
		emulator.SeedDemo("demo")
		emulator.Seed("empty")
		providers = append(providers, adapters.Provider{Info: e.Info, New: func(s adapters.Settings) adapters.Adapter {
			s.RoundTrip = inMemory(emulator)
			return e.New(s)
		}})
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	if g.telemetry, err = telemetry.New(context.Background(), telemetry.Options{Version: "test", Log: log}); err != nil {
		t.Fatal(err)
	}
	if g.store, err = sqlstore.Open(context.Background(), sqlstore.Memory, log); err != nil {
		t.Fatal(err)
	}
	if g.gateway, err = New(Options{Providers: providers, Version: "test", Log: log, Telemetry: g.telemetry, Store: g.store}, g.config(changeReload)); err != nil {
		t.Fatal(err)
	}
	g.server = g.gateway.NewServer()
	return g
}

func (g *memoryGateway) close() {
	g.gateway.Close()
	_ = g.store.Close()
	_ = g.telemetry.Shutdown(context.Background())
	for _, emulator := range g.emulators {
		for _, violation := range emulator.Control().Violations() {
			g.t.Error(violation)
		}
	}
}

func (g *memoryGateway) noResponseCache() { g.gateway.responses.Limit(0) }

// inMemory calls the emulator without a network.
func inMemory(emulator sandbox.Emulator) adapters.RoundTrip {
	return func(ctx context.Context, req *adapters.Request) error {
		r := httptest.NewRequestWithContext(ctx, req.Method, "http://provider"+emulator.Prefix()+req.Path+"?"+req.Query.Encode(), bytes.NewReader(req.Body))
		r.Header = req.Header.Clone()
		if req.Body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		emulator.ServeHTTP(w, r)
		return req.Receive(adapters.Response{Status: w.Code, Header: w.Result().Header, Body: w.Body.Bytes()})
	}
}

// config returns the configuration after a reload of that kind.
func (g *memoryGateway) config(c change) *config.Config {
	var file strings.Builder
	cors, reader := "", "demo"
	if c == changeReloadCORS {
		cors = ", cors: {origins: [https://app.example]}"
	}
	if c == changeReloadReader {
		reader = "empty"
	}
	fmt.Fprintf(&file, "server: {request_timeout: 2m, cursor_secret: env:cursors%s}\nbackends:\n", cors)
	for _, e := range all.Entries() {
		fmt.Fprintf(&file, "  %s: {provider: %[1]s, base_url: 'http://127.0.0.1:1', %s}\n", e.Info.Provider, propertyBackend)
	}
	file.WriteString("keys:\n")
	key := func(id, scopes, credentials string) {
		fmt.Fprintf(&file, "  - {id: %s, sha256: \"%x\", scopes: [%s], credentials: {%s}}\n", id, apikey.Hash(propertyKeys[id]), scopes, credentials)
	}
	everywhere := func(credential string) string {
		return strings.NewReplacer("C", "env:"+credential).Replace("klen: C, agenthuman: C, krosai: C, talkifai: C")
	}
	key(keyAcme, "agents:read, agents:write, aliases:write", everywhere("demo"))
	key(keyRead, "agents:read", everywhere(reader))
	key(keyKlen, "agents:read", "klen: env:demo")
	loaded, err := config.Load(config.Source{
		Path: "config.yaml", Providers: all.Names(), ReadFile: func(string) ([]byte, error) { return []byte(file.String()), nil },
		LookupEnv: func(name string) (string, bool) {
			if name == "cursors" {
				return "a secret of cursors", true
			}
			return name, true // a credential's value is its name
		},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return loaded
}

// change makes a change; the number differs for each step.
func (g *memoryGateway) change(c change, number int) {
	switch c {
	case changeProviders:
		g.emulators["krosai"].Seed("demo", json.RawMessage(fmt.Sprintf(seeded("krosai"), number)))
		g.emulators["klen"].Seed("demo", json.RawMessage(fmt.Sprintf(seeded("klen"), 10_000+number)))
	case changeFailing:
		g.emulators["klen"].Control().Fail(sandbox.Fault{Status: http.StatusServiceUnavailable})
	case changeHealed:
		g.emulators["klen"].Control().Heal()
	case changePurge:
		g.gateway.Purge("", "")
	case changePurgeBackend:
		g.gateway.Purge("klen", "")
	case changePurgeKey:
		g.gateway.Purge("", keyRead)
	case changeReload, changeReloadReader, changeReloadCORS:
		if err := g.gateway.Reload(g.config(c)); err != nil {
			g.t.Error(err)
		}
	}
}

// answer is what a caller sees and what must be equal.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// send sends the request of a step on its own connection.
func (g *memoryGateway) send(s step, number int) answer {
	path, of := s.Path, s.Key+" "+s.Path
	if cursor := g.cursors[of]; s.NextPage && cursor != "" {
		path += "&cursor=" + cursor
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nX-Api-Key: %s\r\nX-Request-Id: request-%d\r\nTraceparent: 00-%032x-b7ad6b7169203331-01\r\n", s.Method, path, propertyKeys[s.Key], number, number+1)
	if s.Header != "" {
		head += s.Header + "\r\n"
	}
	if s.AcceptEncoding != "" {
		head += "Accept-Encoding: " + s.AcceptEncoding + "\r\n"
	}
	if etag := g.etags[of]; s.NotChanged && etag != "" {
		head += "If-None-Match: " + etag + "\r\n"
	}
	if s.Body != "" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(s.Body))
	}
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.server.ServeConn(theirs) // it ends with the connection
		theirs.Close()
	}()
	defer func() { ours.Close(); <-served }()
	go func() { _, _ = io.WriteString(ours, head+"\r\n"+s.Body) }() // an error shows in the answer
	resp, err := http.ReadResponse(bufio.NewReader(ours), &http.Request{Method: s.Method})
	if err != nil {
		return answer{Body: err.Error()}
	}
	body, err := readDecoded(resp)
	if err != nil {
		body = err.Error()
	}
	if etag := resp.Header.Get("ETag"); etag != "" {
		g.etags[of] = etag
	}
	if m := nextCursor.FindStringSubmatch(body); m != nil && strings.Contains(s.Path, "?") {
		g.cursors[of] = m[1]
	}
	return answer{Status: resp.StatusCode, Header: comparable(resp.Header), Body: cursors.ReplaceAllString(body, `"cursor"`)}
}

// Cursors are encrypted with a random nonce, so they always differ.
var (
	cursors    = regexp.MustCompile(`"c1\.[^"]*"`)
	nextCursor = regexp.MustCompile(`"next_cursor":"([^"]*)"`)
)

func readDecoded(resp *http.Response) (string, error) {
	var body io.Reader = resp.Body
	if resp.Request.Method == http.MethodHead || resp.StatusCode == http.StatusNotModified {
		body = http.NoBody
		resp.Header.Del("Content-Length") // of a compressed body, see comparable
	} else if resp.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return "", err
		}
		body = unzipped
	} else if resp.Header.Get("Content-Encoding") == "zstd" {
		decoder, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return "", err
		}
		defer decoder.Close()
		body = decoder
	}
	text, err := io.ReadAll(body)
	return string(text), err
}

// comparable returns the header without the fields that may differ: those of time, of the
// request itself and of the cache, and the length of a compressed body, which depends on
// the cursors in it.
func comparable(header http.Header) http.Header {
	header = header.Clone()
	for _, name := range []string{"Age", "Date", "X-Request-Id", "Server-Timing", "Cache-Status", "RateLimit", "RateLimit-Policy"} {
		header.Del(name)
	}
	if header.Get("Content-Encoding") != "" {
		header.Del("Content-Length")
	}
	return header
}

// Package gatewaytest starts a gateway in this process, with emulated providers behind it
// that can be made to fail: in HTTP by the faults of the emulator, in the network by a
// Toxiproxy in front of it. It knows no provider by name.
package gatewaytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/admin"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// Endless is a timeout for a configuration. No test reaches it.
const Endless = "1h"

// Options are the settings of a gateway.
type Options struct {
	Server     string            // YAML within the braces of server: "max_inflight: 1"; request_timeout is Endless if it is not set
	Backends   []string          // providers; all if it is empty
	PerBackend string            // YAML under each backend; timeout is Endless if it is not set
	Backend    map[string]string // YAML under some backends, in place of PerBackend
	Tenants    []string          // ids of keys, each with its own credentials; "acme" if it is empty
	OneRequest bool              // providers close each connection after one request, so that no kept one is found dead
	Proxied    []string          // providers behind a Toxiproxy, by host names that Unresolve can remove; needs Main
	TLS        bool              // proxied providers use https, by address
	Log        io.Writer
	Spans      sdktrace.SpanProcessor
}

// Gateway is a running gateway with its providers.
type Gateway struct {
	URL     string
	Vendors map[string]sandbox.Emulator // by provider
	Proxies map[string]*toxiproxy.Proxy // by provider
	Keys    map[string]string           // by tenant
	Secrets []string                    // every key and credential
	Client  *http.Client

	t       testing.TB
	core    *gateway.Gateway
	servers map[string]*httptest.Server // of Providers
	file    string
	env     map[string]string
	hosts   map[string]string // of proxied providers
	admin   *admin.Admin
	page    http.Handler // the admin listener's
}

// hosts numbers the host names of providers, which all gateways of a process share.
var hosts atomic.Int64

// Start starts a gateway that ends with the test.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	if !strings.Contains(o.Server, "request_timeout") {
		o.Server = strings.TrimSuffix("request_timeout: "+Endless+", "+o.Server, ", ")
	}
	g := &Gateway{
		t: t, Vendors: map[string]sandbox.Emulator{}, Proxies: map[string]*toxiproxy.Proxy{}, Keys: map[string]string{},
		env: map[string]string{}, hosts: map[string]string{}, servers: map[string]*httptest.Server{},
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if len(o.Tenants) == 0 {
		o.Tenants = []string{"acme"}
	}
	var file strings.Builder
	fmt.Fprintf(&file, "server: {%s}\nbackends:\n", o.Server)
	for _, v := range all.Entries() {
		name := v.Info.Provider
		if len(o.Backends) > 0 && !slices.Contains(o.Backends, name) {
			continue
		}
		g.Vendors[name] = v.Emulator()
		base := g.serve(name, slices.Contains(o.Proxied, name), o)
		fmt.Fprintf(&file, "  %s:\n    provider: %s\n    base_url: %s%s\n", name, name, base, g.Vendors[name].Prefix())
		settings, ok := o.Backend[name]
		if !ok {
			settings = o.PerBackend
		}
		if !regexp.MustCompile(`(?m)^timeout:`).MatchString(settings) {
			settings = "timeout: " + Endless + "\n" + settings
		}
		for line := range strings.Lines(strings.TrimSpace(settings)) {
			fmt.Fprintf(&file, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	file.WriteString("keys:\n")
	for _, tenant := range o.Tenants {
		key := apikey.New(apikey.Test)
		g.Keys[tenant] = key
		g.Secrets = append(g.Secrets, key)
		fmt.Fprintf(&file, "  - id: %s\n    sha256: \"%x\"\n    scopes: [agents:read, agents:write, aliases:write, migrations:write]\n    credentials:\n", tenant, apikey.Hash(key))
		for name, vendor := range g.Vendors {
			credential := fmt.Sprintf("cred-%s-%s-%s", tenant, name, rand.Text())
			variable := strings.ToUpper(strings.ReplaceAll(tenant, "-", "_") + "_" + name)
			g.env[variable] = credential
			g.Secrets = append(g.Secrets, credential)
			fmt.Fprintf(&file, "      %s: env:%s\n", name, variable)
			vendor.SeedDemo(credential)
		}
	}
	g.file = file.String()
	g.start(o)
	return g
}

// serve starts an emulator and returns the origin of its base URL.
func (g *Gateway) serve(name string, proxied bool, o Options) string {
	server := httptest.NewUnstartedServer(g.Vendors[name])
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes fail on purpose
	server.Config.SetKeepAlivesEnabled(!o.OneRequest)
	scheme, secure := "http", proxied && o.TLS
	if secure {
		scheme = "https"
		server.StartTLS()
	} else {
		server.Start()
	}
	g.servers[name] = server
	address := server.Listener.Addr().String()
	g.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		for _, violation := range g.Vendors[name].Control().Violations() {
			g.t.Error(violation)
		}
	})
	if !proxied {
		return scheme + "://" + address
	}
	g.proxy(name, "127.0.0.1:0", address)
	g.t.Cleanup(func() { g.Proxies[name].Stop() })
	if secure { // the certificate is for the address
		return scheme + "://" + g.Proxies[name].Listen
	}
	_, port, _ := net.SplitHostPort(g.Proxies[name].Listen)
	g.hosts[name] = fmt.Sprintf("%s-%d.test", name, hosts.Add(1))
	return scheme + "://" + g.hosts[name] + ":" + port
}

// proxy starts a Toxiproxy in front of a provider.
func (g *Gateway) proxy(name, listen, upstream string) {
	quiet := zerolog.Nop()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet), name, listen, upstream)
	if err := proxy.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.Proxies[name] = proxy
}

func (g *Gateway) start(o Options) {
	log := slog.New(slog.DiscardHandler)
	if o.Log != nil {
		log = slog.New(slog.NewJSONHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c, err := g.config(g.file)
	if err != nil {
		g.t.Fatal(err)
	}
	recorded, err := telemetry.New(context.Background(), telemetry.Options{Version: "test", Log: log, SpanProcessor: o.Spans})
	if err != nil {
		g.t.Fatal(err)
	}
	db, err := store.Open(context.Background(), store.Memory, log)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.core, err = gateway.New(gateway.Options{Providers: all.Providers(), Version: "test", Log: log, Telemetry: recorded, Store: db}, c); err != nil {
		g.t.Fatal(err)
	}
	g.admin = g.core.NewAdmin(func() ([]string, error) { return nil, nil })
	g.page = g.admin.Handler()
	server := g.core.NewServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(server.Guard(listener)) }()
	g.URL = "http://" + listener.Addr().String()
	g.t.Cleanup(func() {
		g.Client.CloseIdleConnections()
		g.admin.Close()
		for name := range g.Vendors {
			g.EndRequests(name)
		}
		if err := server.Shutdown(waittest.HangGuard); err != nil {
			g.t.Errorf("Shutdown: %v", err)
		}
		<-served
		g.core.Close()
		_ = db.Close()
		bounded, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = recorded.Shutdown(bounded) // a test may have stopped the collector
	})
}

func (g *Gateway) config(file string) (*config.Config, error) {
	return config.Load(config.Source{
		Path: "config.yaml", Providers: all.Names(),
		ReadFile:  func(string) ([]byte, error) { return []byte(file), nil },
		LookupEnv: func(name string) (string, bool) { v, ok := g.env[name]; return v, ok },
	})
}

// Reload loads the configuration of Start again, with replacements as strings.NewReplacer
// takes them.
func (g *Gateway) Reload(oldnew ...string) error {
	c, err := g.config(strings.NewReplacer(oldnew...).Replace(g.file))
	if err != nil {
		return err
	}
	return g.core.Reload(c)
}

// File returns the configuration file of Start.
func (g *Gateway) File() string { return g.file }

// Core returns the gateway itself.
func (g *Gateway) Core() *gateway.Gateway { return g.core }

// Admin returns the handler of the admin listener.
func (g *Gateway) Admin() http.Handler { return g.page }

// CloseAdmin ends the streams of the admin listener, as the end of the program does.
func (g *Gateway) CloseAdmin() { g.admin.Close() }

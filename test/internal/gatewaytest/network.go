package gatewaytest

import (
	"net/http"
	"net/http/httptest"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
)

// EndRequests ends a provider's faults and closes its connections, so that requests that hang
// there end.
func (g *Gateway) EndRequests(name string) {
	g.Vendors[name].Control().Heal()
	g.servers[name].CloseClientConnections()
}

// Plain connects a proxied provider's address to an HTTP server without TLS.
func (g *Gateway) Plain(name string) {
	server := httptest.NewServer(http.NotFoundHandler())
	g.t.Cleanup(server.Close)
	proxy := g.Proxies[name]
	if err := proxy.Update(&toxiproxy.Proxy{Listen: proxy.Listen, Upstream: server.Listener.Addr().String(), Enabled: true}); err != nil {
		g.t.Fatal(err)
	}
}

// Toxic adds a toxic, in the JSON of Toxiproxy's API, and closes kept connections.
func (g *Gateway) Toxic(name, toxic string) {
	proxy := g.Proxies[name]
	proxy.Stop()
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		g.t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		g.t.Fatal(err)
	}
}

// Mend removes a proxied provider's toxics and makes it reachable.
func (g *Gateway) Mend(name string) {
	// It starts another proxy: removing toxics can hang (Toxiproxy 2.5).
	old := g.Proxies[name]
	old.Stop()
	g.proxy(name, old.Listen, old.Upstream)
}

// Unresolve removes a proxied provider's host name and closes kept connections.
func (g *Gateway) Unresolve(name string) {
	names.remove(g.hosts[name])
	proxy := g.Proxies[name]
	proxy.Stop()
	if err := proxy.Start(); err != nil {
		g.t.Fatal(err)
	}
}

package backend

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// testBackend returns a backend that sends no request.
func testBackend(t *testing.T, quota *config.Rate, previous *Backend) *Backend {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	provider := adapters.Provider{Info: &adapters.Info{Provider: "p"}, New: func(adapters.Settings) adapters.Adapter { return nil }}
	b := New(Options{Log: slog.New(slog.DiscardHandler), Telemetry: tel, Cache: func(*Backend) Middleware {
		return func(next Endpoint) Endpoint { return next }
	}}, provider, config.ResolvedBackend{
		Name: "b", BaseURL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"},
		Backend: config.Backend{Quota: quota, Provider: "p", MaxConcurrent: 8, Timeout: config.Duration(time.Second)},
	}, previous)
	t.Cleanup(b.Close)
	return b
}

// After a reload a credential is another tenant, with the quota and the concurrency slots of
// its predecessor.
func TestTenant_KeepsQuotaAndSlotsAcrossReload(t *testing.T) {
	hourly := func(n int) *config.Rate { return &config.Rate{Requests: n, Per: config.Duration(time.Hour)} }
	b := testBackend(t, hourly(100), nil)
	credential, other := adapters.NewCredential(secret.New("one")), adapters.NewCredential(secret.New("other"))
	tenant := b.Tenant(credential)
	if b.Tenant(adapters.NewCredential(secret.New("one"))) != tenant || b.Tenant(other) == tenant {
		t.Error("tenants and credentials do not correspond")
	}
	next := testBackend(t, hourly(200), b)
	after := next.Tenant(credential)
	if after == tenant || after.ID == tenant.ID || after.quota != tenant.quota || after.slots != tenant.slots {
		t.Errorf("after the reload it is %+v, before %+v", after, tenant)
	}
	if tenant.Successor() != after || after.Successor() != nil {
		t.Error("the tenant does not know its successor")
	}
	next.RetainCredentials(map[string]bool{other.ID(): true})
	if next.tenants.byID[credential.ID()] != nil || next.quotas.byCredential[credential.ID()] != nil || next.Tenant(credential) == after {
		t.Error("the state of a credential that is not in use was kept")
	}
}

package gateway

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/upstream"
	"github.com/agentgw/agentgw/config"
)

// Backend is one configured backend, assembled.
type Backend struct {
	Name     string
	Info     *adapters.Info
	Config   config.ResolvedBackend
	Endpoint Endpoint

	breaker *breaker
	quotas  *quotas
	health  *health
	client  *upstream.Client
}

// build assembles a backend. This is the only place that says what stands
// around a call, and in which order.
//
// A call passes, from the outside in:
//
//	recover   a panic becomes this call's error
//	compose   a get is made of the list where the vendor's get is none, or lacks something
//	cache     what is known is served; equal reads share one; a write drops what it changed
//	adapter   the call becomes the vendor's requests
//
// and each of the adapter's requests:
//
//	health    notes the last success and the last failure
//	breaker   a backend that keeps failing is not asked
//	bulkhead  a backend gets only so many requests at once
//	quota     a credential gets only so many requests in a time
//	trace     a span and a measurement for what does leave
//	upstream  HTTP, within the backend's timeout
//
// TestOrder holds the code against this comment.
func (g *Gateway) build(provider adapters.Provider, b config.ResolvedBackend) *Backend {
	name, info := b.Name, provider.Info
	backend := &Backend{
		Name: name, Info: info, Config: b,
		breaker: newBreaker(name, info.Provider, b.Breaker, g.telemetry, g.log),
		quotas:  newQuotas(name, b.Quota, g.telemetry),
		health:  &health{},
		client: upstream.New(upstream.Options{
			Provider: info.Provider, BaseURL: b.BaseURL, Timeout: b.Timeout.D(),
			MaxResponseBytes: int64(b.MaxResponseBytes), MaxConns: b.MaxConcurrent, UserAgent: "agentgw/" + g.version,
		}),
	}
	exchange := chainExchange(backend.client.Exchange,
		backend.health.middleware(),
		backend.breaker.middleware(),
		bulkhead(info.Provider, b.MaxConcurrent),
		backend.quotas.middleware(info.Provider),
		traceExchange(g.telemetry, backend),
	)
	adapter := provider.New(adapters.Settings{Backend: name, Exchange: exchange})
	backend.Endpoint = chain(callAdapter(adapter, backend),
		recoverPanics(backend, g.log),
		compose(info),
		g.cache.middleware(backend, g.telemetry),
	)
	return backend
}

// chain puts the middlewares around the endpoint, the first outermost.
func chain(e Endpoint, ms ...Middleware) Endpoint {
	for i := len(ms) - 1; i >= 0; i-- {
		e = ms[i](e)
	}
	return e
}

func chainExchange(e adapters.Exchange, ms ...ExchangeMiddleware) adapters.Exchange {
	for i := len(ms) - 1; i >= 0; i-- {
		e = ms[i](e)
	}
	return e
}

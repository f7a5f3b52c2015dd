package agents

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
)

// TraceSources says in a span how each backend's part came about.
func TraceSources(span trace.Span, parts []Source) {
	if !span.IsRecording() {
		return
	}
	for _, p := range parts {
		attributes := []attribute.KeyValue{
			attribute.String("agentgw.backend", p.Backend.Name),
			attribute.String("agentgw.provider", p.Backend.Info.Provider),
			attribute.String("agentgw.source.status", p.Report.Status),
			attribute.String("agentgw.breaker.state", p.Backend.BreakerState()),
		}
		if p.Cache != "" {
			attributes = append(attributes, attribute.String("agentgw.cache", string(p.Cache)))
		}
		if p.Failure != nil {
			attributes = append(attributes, attribute.String("error.type", string(p.Failure.Code)))
		}
		span.AddEvent("source", trace.WithAttributes(attributes...))
	}
}

// RequestLogSources are the backends' parts of an answer.
func RequestLogSources(parts []Source) []journal.Source {
	if len(parts) == 0 {
		return nil
	}
	sources := make([]journal.Source, len(parts))
	for i, p := range parts {
		s := journal.Source{Backend: p.Backend.Name, Status: p.Report.Status, Cache: string(p.Cache)}
		if s.Status == "" { // of one agent
			s.Status = problem.SourceOK
		}
		if p.Failure != nil {
			s.Code, s.Breaker = string(p.Failure.Code), p.Backend.BreakerState()
		}
		sources[i] = s
	}
	return sources
}

// cacheStatusOrder lists the statuses from a hit to what is furthest from one. The empty one is a failure.
var cacheStatusOrder = []backend.CacheStatus{backend.CacheHit, backend.CacheBypass, backend.CacheCoalesced, backend.CacheMiss, "", backend.CacheStale}

// AggregateCacheStatus returns the status of the part that is furthest from a hit; empty for no parts.
func AggregateCacheStatus(parts []Source) backend.CacheStatus {
	if len(parts) == 0 {
		return ""
	}
	least := backend.CacheHit
	for _, p := range parts {
		least = lessCached(least, p.Cache)
	}
	return least
}

func lessCached(a, b backend.CacheStatus) backend.CacheStatus {
	if slices.Index(cacheStatusOrder, b) > slices.Index(cacheStatusOrder, a) {
		return b
	}
	return a
}

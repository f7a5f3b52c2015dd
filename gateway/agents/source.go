package agents

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
)

// TraceParts says in a span how each backend's part came about.
func TraceParts(span trace.Span, parts []Part) {
	if !span.IsRecording() {
		return
	}
	for _, p := range parts {
		attributes := []attribute.KeyValue{
			attribute.String("agentgw.backend", p.Backend.Name),
			attribute.String("agentgw.provider", p.Backend.Info.Provider),
			attribute.String("agentgw.source.status", p.Source.Status),
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

// SourcesOf are the backends' parts of an answer.
func SourcesOf(parts []Part) []journal.Source {
	if len(parts) == 0 {
		return nil
	}
	sources := make([]journal.Source, len(parts))
	for i, p := range parts {
		s := journal.Source{Backend: p.Backend.Name, Status: p.Source.Status, Cache: string(p.Cache)}
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

// byDistance lists the statuses from a hit to what is furthest from one. The empty one is a failure.
var byDistance = []backend.CacheStatus{backend.CacheHit, backend.CacheBypass, backend.CacheCoalesced, backend.CacheMiss, "", backend.CacheStale}

// LeastCached returns the status of the part that is furthest from a hit; empty for no parts.
func LeastCached(parts []Part) backend.CacheStatus {
	if len(parts) == 0 {
		return ""
	}
	least := backend.CacheHit
	for _, p := range parts {
		least = furtherFromHit(least, p.Cache)
	}
	return least
}

func furtherFromHit(a, b backend.CacheStatus) backend.CacheStatus {
	if slices.Index(byDistance, b) > slices.Index(byDistance, a) {
		return b
	}
	return a
}

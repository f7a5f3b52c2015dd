package agents

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
)

// TraceSources adds an event for each source to the span: its status, cache status and error.
func TraceSources(span trace.Span, sources []Source) {
	if !span.IsRecording() {
		return
	}
	for _, s := range sources {
		attributes := []attribute.KeyValue{
			attribute.String("agentgw.backend", s.Backend.Name),
			attribute.String("agentgw.provider", s.Backend.Info.Provider),
			attribute.String("agentgw.source.status", s.Report.Status),
			attribute.String("agentgw.breaker.state", s.Backend.BreakerState()),
		}
		if s.Cache != "" {
			attributes = append(attributes, attribute.String("agentgw.cache", string(s.Cache)))
		}
		if s.Failure != nil {
			attributes = append(attributes, attribute.String("error.type", string(s.Failure.Code)))
		}
		span.AddEvent("source", trace.WithAttributes(attributes...))
	}
}

// RequestLogSources returns the sources as entries of the request log.
func RequestLogSources(sources []Source) []journal.Source {
	if len(sources) == 0 {
		return nil
	}
	entries := make([]journal.Source, len(sources))
	for i, s := range sources {
		entry := journal.Source{Backend: s.Backend.Name, Status: s.Report.Status, Cache: string(s.Cache)}
		if entry.Status == "" { // the source of a get has no report
			entry.Status = problem.SourceOK
		}
		if s.Failure != nil {
			entry.Code, entry.Breaker = string(s.Failure.Code), s.Backend.BreakerState()
		}
		entries[i] = entry
	}
	return entries
}

// cacheStatusOrder lists the cache statuses from best to worst. The empty one is a failure.
var cacheStatusOrder = []backend.CacheStatus{backend.CacheHit, backend.CacheBypass, backend.CacheCoalesced, backend.CacheMiss, "", backend.CacheStale}

// AggregateCacheStatus returns the worst cache status of the sources, or "" for no sources.
func AggregateCacheStatus(sources []Source) backend.CacheStatus {
	if len(sources) == 0 {
		return ""
	}
	worst := backend.CacheHit
	for _, s := range sources {
		worst = worseCacheStatus(worst, s.Cache)
	}
	return worst
}

func worseCacheStatus(a, b backend.CacheStatus) backend.CacheStatus {
	if slices.Index(cacheStatusOrder, b) > slices.Index(cacheStatusOrder, a) {
		return b
	}
	return a
}

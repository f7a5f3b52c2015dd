package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// observe wraps a handler with what every response of the gateway needs, each by the usual
// library in its fastest form: lookup of the key's hash, a request id, the headers, a span
// that is not sampled, a histogram and a counter with prepared attributes, and a buffered
// access line. It has no limits, no breaker and no cache.
func observe(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.TraceIDRatioBased(0))).Tracer("bench")
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("bench")
	durations, err := meter.Float64Histogram("http.server.request.duration")
	if err != nil {
		panic(err) // the name is constant
	}
	hits, err := meter.Int64Counter("cache.requests")
	if err != nil {
		panic(err)
	}
	ofRequest := metric.WithAttributeSet(attribute.NewSet(
		attribute.String("http.request.method", "GET"), attribute.String("url.scheme", "http"),
		attribute.String("http.route", "/v1/agents"), attribute.Int("http.response.status_code", 200),
	))
	ofHit := metric.WithAttributeSet(attribute.NewSet(attribute.String("backend", "krosai"), attribute.String("result", "hit")))
	log := slog.New(slog.NewJSONHandler(&buffered{out: bufio.NewWriterSize(io.Discard, 64<<10)}, nil))
	keys := map[[32]byte]string{sha256.Sum256([]byte("Bearer bench")): "bench"}

	return func(c *fasthttp.RequestCtx) {
		began, id := time.Now(), ulid.Make().String()
		ctx, span := tracer.Start(context.Background(), "HTTP", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		key := keys[sha256.Sum256(c.Request.Header.Peek("Authorization"))]
		next(c)
		for _, h := range [][2]string{
			{"ETag", `"0123456789abcdef01234567"`}, {"Cache-Control", "private, no-cache"}, {"Age", "1"},
			{"Vary", "Authorization, X-API-Key, Accept-Encoding"}, {"Cache-Status", "agentgw; hit"},
			{"Server-Timing", `krosai;dur=0.0;desc="hit"`}, {"X-Request-Id", id},
		} {
			c.Response.Header.Set(h[0], h[1])
		}
		took, of := time.Since(began), span.SpanContext()
		durations.Record(ctx, took.Seconds(), ofRequest)
		hits.Add(ctx, 1, ofHit)
		log.LogAttrs(ctx, slog.LevelInfo, "request",
			slog.String("method", "GET"), slog.String("route", "/v1/agents"), slog.Int("status", c.Response.StatusCode()),
			slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("request_id", id), slog.String("key_id", key),
			slog.String("trace_id", of.TraceID().String()), slog.String("span_id", of.SpanID().String()))
	}
}

// buffered is a writer that is safe for concurrent use.
type buffered struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (b *buffered) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(line)
}

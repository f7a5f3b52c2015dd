package config

// defaults returns the defaults of every setting outside of backends.
func defaults() map[string]any {
	return map[string]any{
		"server": map[string]any{
			"listen":                      "127.0.0.1:8080",
			"request_timeout":             "15s",
			"body_limit":                  "1MiB",
			"max_body_bytes":              "0B",
			"max_upstream_bytes":          "0B",
			"max_inflight":                1024,
			"max_connections":             10000,
			"max_connections_per_address": 4000,
			"shutdown_grace":              "20s",
			"drain_for":                   "5s",
			"probes":                      true,
		},
		"admin": map[string]any{"listen": "127.0.0.1:9090", "metrics_open": false, "pprof": false},
		"cache": map[string]any{"max_entries": 10000, "max_bytes": "256MiB"},
		"store": map[string]any{"url": "sqlite:agentgw.db"},
		"log":   map[string]any{"level": "info", "format": "auto"},
	}
}

// backendDefaults returns the defaults of each backend.
func backendDefaults() map[string]any {
	return map[string]any{
		"timeout":            "5s",
		"max_concurrent":     64,
		"max_response_bytes": "16MiB",
		"max_agent_bytes":    "1MiB",
		"breaker":            map[string]any{"failure_ratio": 0.5, "min_requests": 20, "window": "10s", "consecutive": 5, "open_for": "5s", "max_open_for": "1m"},
		"cache":              map[string]any{"ttl": "30s", "stale_while_revalidate": "5m", "stale_if_error": "24h"},
	}
}

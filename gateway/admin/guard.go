package admin

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentgw/agentgw/gateway/apikey"
)

// bodyTimeout bounds how long the body of a request may take.
const bodyTimeout = 5 * time.Second

// checkHost refuses requests for another host than this listener: a web page can make its own
// name point to 127.0.0.1 (DNS rebinding), and would be same-origin then. It cannot make an IP
// address or localhost its own.
func (a *Admin) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOwnHost(r.Host, a.Access().Hosts) {
			writeJSON(w, http.StatusMisdirectedRequest, map[string]any{"error": "the Host of the request is not this listener; use its address or localhost, or add the name to admin.hosts"})
			return
		}
		if r.Method == http.MethodPost {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer supports deadlines
		}
		next.ServeHTTP(w, r)
	})
}

// Access is who may use the listener, and under which names.
type Access struct {
	// Hosts are names of the listener besides its addresses and localhost.
	Hosts []string
	// Keys are all that are accepted. If there are none, no request needs a key.
	Keys []Key
	// MetricsOpen reports that /metrics needs no key.
	MetricsOpen bool
}

// Key is a key of the listener.
type Key struct {
	ID        string
	Hash      [32]byte
	ExpiresAt time.Time // zero: never
}

// find returns the key that a secret belongs to, if it is valid.
func (a Access) find(secret string, now time.Time) (id string, ok bool) {
	hash := apikey.Hash(secret)
	for _, k := range a.Keys {
		if subtle.ConstantTimeCompare(hash[:], k.Hash[:]) == 1 {
			return k.ID, k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt)
		}
	}
	return "", false
}

// isOpen reports whether a path needs no key.
func (a Access) isOpen(path string) bool {
	return len(a.Keys) == 0 || path == "/livez" || path == "/readyz" || path == "/metrics" && a.MetricsOpen
}

type keyIDKey struct{}

// requireKey refuses requests without a valid key. A browser sends it as the password of basic
// authentication, under any user name; programs can send it as a bearer token.
func (a *Admin) requireKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access := a.Access()
		_, secret, basic := r.BasicAuth()
		if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); !basic && strings.EqualFold(scheme, "Bearer") {
			secret = strings.TrimSpace(token)
		}
		id, known := access.find(secret, time.Now())
		if !known && !access.isOpen(r.URL.Path) {
			w.Header().Set("WWW-Authenticate", `Basic realm="agentgw admin"`)
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "send a key of admin.keys as Authorization: Bearer …, or as the password in a browser"})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyIDKey{}, id)))
	})
}

// audit logs an operation that changed something: who did what, and the result.
func (a *Admin) audit(r *http.Request, operation, result string, more ...slog.Attr) {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	keyID, _ := r.Context().Value(keyIDKey{}).(string)
	a.Log.LogAttrs(r.Context(), slog.LevelInfo, "audit", append([]slog.Attr{
		slog.String("admin_key_id", keyID), slog.String("operation", operation), slog.String("result", result), slog.String("client", client),
	}, more...)...)
}

// isOwnHost reports whether a Host is an IP address, localhost or one of the names, with a port or
// without.
func isOwnHost(host string, names []string) bool {
	if address, err := netip.ParseAddrPort(host); err == nil {
		return address.Addr().Zone() == ""
	}
	if address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return address.Zone() == "" && address.Is6() == strings.HasPrefix(host, "[")
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	return strings.EqualFold(host, "localhost") || slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) })
}

package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// bodyTimeout bounds how long the body of a request may take.
const bodyTimeout = 5 * time.Second

// checkHost refuses requests for another host than this listener: a web page can make its own
// name point to 127.0.0.1 (DNS rebinding), and would be same-origin then. It cannot make an IP
// address or localhost its own.
func checkHost(hosts func() []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		_, err := netip.ParseAddr(host)
		if err != nil && host != "localhost" && !slices.ContainsFunc(hosts(), func(allowed string) bool { return strings.EqualFold(allowed, host) }) {
			writeJSON(w, http.StatusMisdirectedRequest, map[string]any{"error": "the Host of the request is not this listener; use its address or localhost, or add the name to admin.hosts"})
			return
		}
		if r.Method == http.MethodPost {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer supports deadlines
		}
		next.ServeHTTP(w, r)
	})
}

package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
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
		if !isOwnHost(r.Host, hosts()) {
			writeJSON(w, http.StatusMisdirectedRequest, map[string]any{"error": "the Host of the request is not this listener; use its address or localhost, or add the name to admin.hosts"})
			return
		}
		if r.Method == http.MethodPost {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer supports deadlines
		}
		next.ServeHTTP(w, r)
	})
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

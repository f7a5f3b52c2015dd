//go:build !unix

package upstream

// quiet takes every connection for alive: a request on one that is not fails, and the gateway
// sends a read again.
func quiet(*conn) bool { return true }

type look struct{}

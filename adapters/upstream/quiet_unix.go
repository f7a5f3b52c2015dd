//go:build unix

package upstream

import (
	"errors"
	"syscall"
)

// quiet reports whether the backend has neither hung up nor said anything unasked on a
// connection that waited. A write that goes out on one that is dead may or may not have been
// done, so it is worth a system call to know before. Over TLS, too, what comes now is a
// farewell: session tickets came before the last answer.
func quiet(c *conn) bool {
	if c.raw == nil {
		return true
	}
	var peeked error
	err := c.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && (errors.Is(peeked, syscall.EAGAIN) || errors.Is(peeked, syscall.EWOULDBLOCK))
}

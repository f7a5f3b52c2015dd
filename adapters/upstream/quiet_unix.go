//go:build unix

package upstream

import (
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
	if c.look.at == nil {
		c.look.at = c.look.peek
	}
	err := c.raw.Read(c.look.at)
	return err == nil && (c.look.failed == syscall.EAGAIN || c.look.failed == syscall.EWOULDBLOCK) // of a system call: never wrapped
}

// look is a look at what a connection has received, without taking it. It is a part of the
// connection, so that it is not made each time.
type look struct {
	at     func(fd uintptr) bool
	one    [1]byte
	failed error
}

func (l *look) peek(fd uintptr) bool {
	_, _, l.failed = syscall.Recvfrom(int(fd), l.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return true
}

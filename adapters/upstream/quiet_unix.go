//go:build unix

package upstream

import (
	"syscall"
)

// look is a look at what a connection has received, without taking it, and at most one message
// sent after it. It is a part of the connection, so that it is not made each time.
type look struct {
	peeking, asking func(fd uintptr) bool // made once
	one             [1]byte
	quiet           bool // what was seen

	conn    *conn
	message []byte // to be sent; nil once it was
	unsent  error
}

// quiet reports whether the backend has neither hung up nor said anything unasked on a
// connection that waited. A write that goes out on one that is dead may or may not have been
// done, so it is worth a system call to know before. Over TLS, too, what comes now is a
// farewell: session tickets came before the last answer.
func quiet(c *conn) bool {
	if c.raw == nil {
		return true
	}
	if c.look.peeking == nil {
		c.look.peeking = c.look.peek
	}
	err := c.raw.Read(c.look.peeking)
	return err == nil && c.look.quiet
}

func (l *look) peek(fd uintptr) bool {
	_, _, err := syscall.Recvfrom(int(fd), l.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	l.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK // of a system call: never wrapped
	return true
}

// ask sends a message on a connection that waited, if it is quiet, and returns when there is
// something to be read; with errNotQuiet if nothing was sent, else with the error of the writing,
// or of the waiting. That it waits first and reads then saves the system call of a read that finds
// nothing yet: from the look on nothing that comes is missed.
func (c *conn) ask(message []byte) error {
	l := &c.look
	if c.raw == nil {
		_, err := c.Write(message)
		return err
	}
	if l.asking == nil {
		l.conn, l.asking = c, l.ask
	}
	l.message, l.unsent = message, nil
	err := c.raw.Read(l.asking)
	switch {
	case l.message != nil: // it is not quiet, or its time was over before
		l.message = nil
		return errNotQuiet
	case l.unsent != nil:
		return l.unsent
	}
	return err
}

// ask is called until it is true: when it begins, if its time is not over, and when there is
// something to be read.
func (l *look) ask(fd uintptr) bool {
	if l.message == nil {
		return true
	}
	if l.peek(fd); !l.quiet {
		return true
	}
	_, l.unsent = l.conn.Write(l.message)
	l.message = nil
	return l.unsent != nil
}

package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"

	"pgregory.net/rapid"
)

// pair is a gathered connection and its peer, over loopback.
func pair(t interface{ Fatal(...any) }) (*gathered, net.Conn) {
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			c = nil
		}
		dialed <- c
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	peer := <-dialed
	if peer == nil {
		t.Fatal("nobody dialed")
	}
	return &gathered{Conn: c}, peer
}

// TestGathered: whatever is written, through a buffer of that size, arrives in order, and
// all of it before the next request is read, or the connection ends.
func TestGathered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, peer := pair(t)
		defer peer.Close()
		w := bufio.NewWriterSize(g, writeBuffer)
		for range rapid.IntRange(1, 4).Draw(t, "answers") {
			var want []byte
			for range rapid.IntRange(1, 3).Draw(t, "writes") {
				size := rapid.OneOf(rapid.IntRange(0, 3*writeBuffer), rapid.SampledFrom([]int{writeBuffer - 1, writeBuffer, writeBuffer + 1, 2 * writeBuffer, 50_000})).Draw(t, "size")
				part := bytes.Repeat([]byte{byte('a' + len(want)%26)}, size)
				want = append(want, part...)
				if n, err := w.Write(part); n != size || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			// The server reads on, and the peer only asks once it has the answer.
			read := make(chan error, 1)
			go func() {
				_, err := io.ReadFull(g, make([]byte, 1))
				read <- err
			}()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v, or other bytes arrived", err)
			}
			if _, err := peer.Write([]byte("?")); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err != nil {
				t.Fatal(err)
			}
		}
		last := bytes.Repeat([]byte{'z'}, writeBuffer) // as a full buffer
		if _, err := g.Write(last); err != nil {
			t.Fatal(err)
		}
		end := rapid.SampledFrom([]func() error{g.Close, g.CloseWrite}).Draw(t, "end")
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, last) {
			t.Fatalf("%v, %d bytes before the end, want %d", err, len(got), len(last))
		}
		g.Close()
	})
}

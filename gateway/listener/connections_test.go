package listener

import (
	"net"
	"testing"
)

func TestOrigin(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:4000": "192.0.2.7", "[::ffff:192.0.2.7]:4000": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:4000": "2001:db8:1:2::", "[2001:db8:1:2:ffff::1]:4000": "2001:db8:1:2::",
		"[fe80::1%eth0]:4000": "fe80::",
	} {
		address, err := net.ResolveTCPAddr("tcp", peer)
		if err != nil {
			t.Fatal(err)
		}
		if got := origin(addressed{address}).String(); got != want {
			t.Errorf("%s: origin %s, want %s", peer, got, want)
		}
	}
	if origin(addressed{&net.UnixAddr{Name: "@"}}).IsValid() {
		t.Error("a Unix socket has an origin")
	}
}

// addressed has the remote address peer.
type addressed struct{ peer net.Addr }

func (a addressed) RemoteAddr() net.Addr { return a.peer }

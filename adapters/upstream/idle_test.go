package upstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
)

// smallServer answers each request on a connection with an empty list. It takes as little memory
// as it can, since it is in the same process.
func smallServer(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 512)
	for end := 0; ; {
		n, err := conn.Read(buffer[end:])
		if err != nil {
			return
		}
		if end += n; !bytes.HasSuffix(buffer[:end], []byte("\r\n\r\n")) {
			continue
		}
		end = 0
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"); err != nil {
			return
		}
	}
}

func heapAndStacks() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers released
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// connectionGoroutines returns how many goroutines serve connections.
func connectionGoroutines() int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("net/http.(*persistConn).")) + bytes.Count(stacks, []byte("smallServer("))
}

// TestIdleCredentials: 1,000 credentials that sent a request take at most 40 MiB while their
// connections are kept, and no goroutine stays when these are closed.
func TestIdleCredentials(t *testing.T) {
	const credentials, limit = 1000, 40 << 20
	base, err := url.Parse("http://provider.example/v1")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := newClient(Options{Provider: "p", BaseURL: base, Timeout: 10 * time.Second, MaxResponseBytes: 1 << 20},
			func(*http.Request) (*url.URL, error) { return nil, nil },
			func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go smallServer(theirs)
				return ours, nil
			})
		before := heapAndStacks()
		for i := range credentials {
			credential := adapters.NewCredential(secret.New(fmt.Sprint("secret-", i)))
			if _, err := get(c, credential); err != nil {
				t.Fatal(err)
			}
		}
		if kept := connectionGoroutines(); kept < credentials {
			t.Errorf("%d goroutines: the connections are not kept, and nothing is measured", kept)
		}
		took := heapAndStacks() - before
		t.Logf("%d idle credentials take %d KiB each, with a server for each", credentials, took/credentials>>10)
		if took > limit {
			t.Errorf("%d idle credentials take %d MiB", credentials, took>>20)
		}
		time.Sleep(idleTimeout + time.Second)
		synctest.Wait()
		if stay := connectionGoroutines(); stay != 0 {
			t.Errorf("%d goroutines stay", stay)
		}
	})
}

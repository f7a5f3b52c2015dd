package listener

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/internal/waittest"
)

// writePair writes a self-signed certificate for 127.0.0.1 with that serial
// number.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "agentgw"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLSConfig_RenewedCertificate checks that a renewed certificate is served without a
// restart, and that an incomplete renewal leaves the old one.
func TestTLSConfig_RenewedCertificate(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	if _, err := TLSConfig(certFile, keyFile); err == nil {
		t.Error("no error for missing files")
	}
	writePair(t, certFile, keyFile, 1)
	config, err := TLSConfig(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake() // the client checks the certificate
			_ = c.Close()
		}
	}()
	served := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // only the serial number matters
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := served(); got != 1 {
		t.Errorf("served %d", got)
	}
	later := time.Now().Add(2 * time.Second)
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(1500 * time.Millisecond) // longer than between two checks of the files
	for time.Now().Before(deadline) {
		if got := served(); got != 1 {
			t.Fatalf("an incomplete renewal is served as %d", got)
		}
	}
	writePair(t, certFile, keyFile, 2)
	later = later.Add(2 * time.Second)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "the renewed certificate", func() bool { return served() == 2 })
}

// TestHasEnded: the end of what a peer sends is noted, of a plain connection and of TLS, whose end
// is a message of its own.
func TestHasEnded(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writePair(t, certFile, keyFile, 1)
	secure, err := TLSConfig(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	told, err := telemetry.New(t.Context(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	connections := New(func() config.Server { return config.Server{MaxConnections: 10, MaxConnectionsPerAddress: 10} }, told, slog.New(slog.DiscardHandler))
	for _, secured := range []bool{false, true} {
		plain, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		l := connections.Guard(plain)
		if secured {
			l = NewTLS(l, secure)
		}
		go func() { // sends a byte, and no more, but keeps the connection for the answer
			conn, err := net.Dial("tcp", plain.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			var half interface {
				io.ReadWriter
				CloseWrite() error
			} = conn.(*net.TCPConn)
			if secured {
				half = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			_, _ = half.Write([]byte("x"))
			_ = half.CloseWrite()
			_, _ = io.Copy(io.Discard, half)
		}()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil || HasEnded(conn) {
			t.Errorf("TLS %v: %v, ended %v", secured, err, HasEnded(conn))
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF || !HasEnded(conn) {
			t.Errorf("TLS %v: %v, ended %v", secured, err, HasEnded(conn))
		}
		conn.Close()
	}
}

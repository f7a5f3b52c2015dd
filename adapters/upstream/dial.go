package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// dialer makes connections to one backend, through the proxy that the environment names for
// it, if there is one (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
type dialer struct {
	timeout time.Duration // of TCP, and of TLS
	tcp     net.Dialer
	backend string      // host:port
	tls     *tls.Config // nil: the backend is spoken to in the clear

	proxy         *url.URL    // nil: none
	noProxy       error       // the environment names one that is none
	proxyTLS      *tls.Config // for a proxy that is spoken to in TLS
	authorization string      // for a proxy that reads the requests
}

// proxyFor is http.ProxyFromEnvironment, but for tests.
type proxyFor func(*http.Request) (*url.URL, error)

func newDialer(o Options, proxyFor proxyFor) dialer {
	d := dialer{
		timeout: o.Timeout / 2, // a host that does not even connect is known to be gone sooner
		tcp:     net.Dialer{KeepAlive: 15 * time.Second},
		backend: hostPort(o.BaseURL),
	}
	if o.BaseURL.Scheme == "https" {
		d.tls = tlsConfig(o.TLS, o.BaseURL)
	}
	if d.proxy, d.noProxy = proxyFor(&http.Request{URL: o.BaseURL}); d.proxy != nil {
		d.proxyTLS = tlsConfig(o.TLS, d.proxy)
	}
	if d.forwards() {
		d.authorization = basicAuthorization(d.proxy)
	}
	return d
}

// forwards says that the proxy is given whole requests, and not a connection to the backend.
func (d *dialer) forwards() bool {
	return d.proxy != nil && d.tls == nil && (d.proxy.Scheme == "http" || d.proxy.Scheme == "https")
}

// dial makes a connection for the trip.
func (d *dialer) dial(t *trip) (*conn, error) {
	ctx, cancel := context.WithDeadline(t.ctx, t.deadline)
	defer cancel()
	c, tcp, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		t.stage = shaking
		if c, err = d.secure(ctx, c, d.tls); err != nil {
			_ = tcp.Close() // there is nobody to tell
			return nil, err
		}
	}
	made := newConn(c, tcp)
	return made, made.SetDeadline(t.deadline)
}

// connect makes the connection that requests, or TLS, go through; tcp is what is below it.
func (d *dialer) connect(ctx context.Context) (c, tcp net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	if d.noProxy != nil {
		return nil, nil, d.noProxy
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		tcp, err = d.tcp.DialContext(ctx, network, address)
		return tcp, err
	}
	if d.proxy == nil {
		c, err = dial(ctx, "tcp", d.backend)
		return c, tcp, err
	}
	switch d.proxy.Scheme {
	case "socks5", "socks5h":
		socks, err := proxy.FromURL(d.proxy, dialFunc(dial))
		if err != nil {
			return nil, nil, err
		}
		c, err = socks.(proxy.ContextDialer).DialContext(ctx, "tcp", d.backend)
		return c, tcp, err
	case "http", "https":
	default:
		return nil, nil, errors.New("a proxy's scheme is one of http, https, socks5 and socks5h")
	}
	if c, err = dial(ctx, "tcp", hostPort(d.proxy)); err != nil {
		return nil, nil, err
	}
	if d.proxy.Scheme == "https" {
		c, err = d.secure(ctx, c, d.proxyTLS)
	}
	if err == nil && !d.forwards() {
		err = d.tunnel(ctx, c)
	}
	if err != nil {
		_ = tcp.Close() // there is nobody to tell
		return nil, nil, err
	}
	return c, tcp, nil
}

// secure shakes hands.
func (d *dialer) secure(ctx context.Context, c net.Conn, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	secured := tls.Client(c, config)
	return secured, secured.HandshakeContext(ctx)
}

// tunnel asks the proxy for a connection to the backend (RFC 9110, section 9.3.6).
func (d *dialer) tunnel(ctx context.Context, c net.Conn) error {
	release := context.AfterFunc(ctx, func() { _ = c.SetDeadline(longAgo) })
	defer release()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: d.backend}, Host: d.backend, Header: http.Header{}}
	if authorization := basicAuthorization(d.proxy); authorization != "" {
		req.Header.Set("Proxy-Authorization", authorization)
	}
	if err := req.Write(c); err != nil {
		return err
	}
	// The backend says nothing before it is spoken to: nothing of it is lost in the buffer.
	limited := &conn{Conn: c, room: maxResponseHeaderBytes}
	resp, err := http.ReadResponse(bufio.NewReader(limited), req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy answers %d", resp.StatusCode)
	}
	return nil
}

// dialFunc is a proxy.Dialer, and a proxy.ContextDialer.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialFunc) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

func tlsConfig(from *tls.Config, u *url.URL) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if from != nil {
		config = from.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	return config
}

func hostPort(u *url.URL) string {
	if port := u.Port(); port != "" {
		return net.JoinHostPort(u.Hostname(), port)
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// basicAuthorization is what a proxy's URL says of who we are.
func basicAuthorization(proxy *url.URL) string {
	if proxy.User == nil {
		return ""
	}
	password, _ := proxy.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password))
}

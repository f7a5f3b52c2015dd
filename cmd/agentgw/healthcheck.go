package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
)

// healthcheck is `agentgw healthcheck`.
type healthcheck struct {
	configFlag
	URL string
}

// healthTimeout bounds the request.
const healthTimeout = 5 * time.Second

func newHealthcheck(a *cli.App) *cobra.Command {
	var f healthcheck
	c := cli.NewCommand("healthcheck", "Ask the gateway on this machine whether it is ready, as a container's health check.", cli.NoArgs, func([]string) error { return f.run(a) })
	f.define(c, a)
	c.Flags().StringVar(&f.URL, "url", "", "The `URL` to request instead of /readyz at the configured address.")
	return c
}

func (h *healthcheck) run(a *cli.App) error {
	url := h.URL
	if url == "" {
		loaded, err := config.Load(h.source(a))
		if err != nil {
			return configError(err)
		}
		if url, err = readyURL(loaded.File); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return cli.UsageErrorf("--url: %w", err)
	}
	client := http.Client{Transport: &http.Transport{
		// The certificate is for the name that clients use, not for this machine's address.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	_ = resp.Body.Close() // nothing of it is read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s answers %d", url, resp.StatusCode)
	}
	_, err = fmt.Fprintln(a.Stdout, "ready")
	return err
}

// readyURL returns where a gateway of this configuration says whether it is ready.
func readyURL(file config.File) (string, error) {
	scheme, address := "http", file.Admin.Listen
	if file.Server.Probes {
		address = file.Server.Listen
		if file.Server.TLS.CertFile != "" {
			scheme = "https"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/readyz", nil
}

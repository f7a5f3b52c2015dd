package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/sandbox"
)

type demo struct {
	Listen, Admin, Log string
	Traffic            float64
}

var logLevels = []string{"debug", "info", "warn", "error"}

func newDemo(a *app) *cobra.Command {
	var f demo
	c := newCommand("demo", "Run the gateway with the vendors emulated in this process; no account needed.", cobra.NoArgs, func([]string) error { return f.run(a) })
	flags := c.Flags()
	flags.StringVar(&f.Listen, "listen", defaultDemoListen, "`ADDRESS` of the API, on loopback. A busy default port is replaced by a free one.")
	flags.StringVar(&f.Admin, "admin", defaultDemoAdmin, "`ADDRESS` for operators, on loopback.")
	flags.Float64Var(&f.Traffic, "traffic", 0, "Make `N` requests a second, and let a vendor fail now and then, for the console and dashboards to show.")
	flags.StringVar(&f.Log, "log", "warn", "Log from this `LEVEL` on: "+strings.Join(logLevels, ", ")+".")
	choices(c, "log", logLevels)
	return c
}

// demoKey is always the same, so that what a README shows works. It opens
// nothing but emulators on this machine, which is why the demo listens on
// loopback only.
var demoKey = apikey.Seal("agw_test_" + "demodemodemodemodemodemodemodemo")

const (
	defaultDemoListen = "127.0.0.1:8080"
	defaultDemoAdmin  = "127.0.0.1:9090"
)

func (d *demo) run(a *app) error {
	if err := oneOf("log", d.Log, logLevels); err != nil {
		return err
	}
	for flag, address := range map[string]string{"--listen": d.Listen, "--admin": d.Admin} {
		if err := onLoopback(address); err != nil {
			return usageError{fmt.Errorf("%s %s: %w", flag, address, err)}
		}
	}
	if d.Traffic != 0 && (d.Traffic < 0.01 || d.Traffic > 1000) {
		return usageError{fmt.Errorf("--traffic %g: want requests per second, from 0.01 to 1000, or 0 for none", d.Traffic)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	vendors, stopVendors, err := startVendors()
	if err != nil {
		return err
	}
	defer stopVendors()
	var notes []string
	listen, note := freeAddress(d.Listen, defaultDemoListen)
	notes = append(notes, note...)
	admin, note := freeAddress(d.Admin, defaultDemoAdmin)
	notes = append(notes, note...)

	load := func() (*config.Config, error) { return config.Load(demoSource(vendors, listen, admin, d.Log)) }
	loaded, err := load()
	if err != nil {
		return err
	}
	log, lines := newLogger(a.stderr, loaded.File.Log)
	defer lines.Close()
	srv, err := newService(ctx, loaded, log, lines, load)
	if err != nil {
		return err
	}
	if err := srv.listen(); err != nil {
		return err
	}
	d.explain(a, srv.publicListener.Addr().String(), srv.adminListener.Addr().String(), notes)
	if d.Traffic > 0 {
		made := &traffic{api: "http://" + srv.publicListener.Addr().String(), vendors: vendors}
		making, end := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			made.run(making, d.Traffic)
		}()
		defer func() { end(); <-ended }()
	}
	return srv.run(ctx)
}

func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want host:port")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("the demo's key is public, so it listens on loopback only; use agentgw serve for anything else")
	}
	return nil
}

// freeAddress is the address, or, where it is the default and taken, one with
// a free port.
func freeAddress(address, standard string) (string, []string) {
	if address != standard {
		return address, nil
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close() // it is opened again in a moment
		return address, nil
	}
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, "0"), []string{address + " is taken; a free port is used instead"}
}

// demoVendor is an emulated vendor that listens.
type demoVendor struct {
	name, baseURL, key string
	control            *sandbox.Server
}

// startVendors runs every vendor's emulator on a free port of loopback, until
// stop is called: after the gateway, so that running requests end well.
func startVendors() (vendors []demoVendor, stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Close() // the process ends with them
		}
	}
	for _, v := range all.Vendors() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, fmt.Errorf("cannot emulate %s: %w", v.Info.Title, err)
		}
		emulator := v.Emulator()
		key := "demo-" + v.Info.Provider
		emulator.SeedDemo(key)
		server := &http.Server{Handler: emulator}
		servers = append(servers, server)
		go func() { _ = server.Serve(l) }() // until stop
		vendors = append(vendors, demoVendor{v.Info.Provider, "http://" + l.Addr().String() + emulator.Prefix(), key, emulator.Control()})
	}
	return vendors, stop, nil
}

// demoSource is the demo's configuration: written as a file would be, and read
// as one.
func demoSource(vendors []demoVendor, listen, admin, level string) config.Source {
	var file, credentials strings.Builder
	secrets := map[string]string{}
	fmt.Fprintf(&file, "server: {listen: %q, drain_for: 0s}\nadmin: {listen: %q}\nlog: {level: %s}\nstore: {url: %q}\nbackends:\n", listen, admin, level, store.Memory)
	for _, v := range vendors {
		fmt.Fprintf(&file, "  %s: {provider: %s, base_url: %q}\n", v.name, v.name, v.baseURL)
		variable := "DEMO_" + strings.ToUpper(v.name)
		secrets[variable] = v.key
		fmt.Fprintf(&credentials, "      %s: env:%s\n", v.name, variable)
	}
	fmt.Fprintf(&file, "keys:\n  - id: demo\n    sha256: \"%x\"\n    scopes: [agents:read, agents:write, aliases:write, migrations:write]\n    credentials:\n%s", apikey.Hash(demoKey), credentials.String())
	return config.Source{
		Path:      "the demo's configuration",
		Providers: all.Names(),
		ReadFile:  func(string) ([]byte, error) { return []byte(file.String()), nil },
		LookupEnv: func(name string) (string, bool) { v, ok := secrets[name]; return v, ok },
	}
}

func (d *demo) explain(a *app, api, admin string, notes []string) {
	fmt.Fprintf(a.stdout, `agentgw demo: four vendors, emulated in this process; nothing leaves this machine.

  agents   http://%[1]s/v1/agents
  docs     http://%[1]s/docs (to read and try; paste the key)
  console  http://%[2]s/console
  metrics  http://%[2]s/metrics
  key      %[3]s

`, api, admin, demoKey)
	for _, n := range notes {
		fmt.Fprintf(a.stdout, "  (%s)\n\n", n)
	}
	fmt.Fprintf(a.stdout, `Try:

  curl -H 'Authorization: Bearer %[2]s' 'http://%[1]s/v1/agents?limit=2'
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/agents/klen:123
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/agents/talkifai:agent_abc123
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/backends/krosai
  curl -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
    -d '{"backend":"talkifai","name":"Night Desk","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}' \
    http://%[1]s/v1/agents

Move an agent from one vendor to another (docs/migrating.md):

  export AGENTGW_URL=http://%[1]s AGENTGW_KEY=%[2]s
  agentgw migrate plan klen:123 --to krosai

Ctrl-C ends it.
`, api, demoKey)
}

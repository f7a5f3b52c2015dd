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
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/sandbox"
)

// demo is `agentgw demo`.
type demo struct {
	Listen, Admin, Log string
	Traffic            float64
}

var logLevels = []string{"debug", "info", "warn", "error"}

func newDemo(a *cli.App) *cobra.Command {
	var f demo
	c := cli.NewCommand("demo", "Run the gateway with emulated providers. No account needed.", cli.NoArgs, func([]string) error { return f.run(a) })
	flags := c.Flags()
	flags.StringVar(&f.Listen, "listen", defaultDemoListen, "`ADDRESS` of the API. If the default port is in use, a free one is chosen.")
	flags.StringVar(&f.Admin, "admin", defaultDemoAdmin, "`ADDRESS` of the console and metrics, on loopback. If the default port is in use, a free one is chosen.")
	flags.Float64Var(&f.Traffic, "traffic", 0, "Send `N` requests per second and make a provider fail now and then, so that the console and dashboards have data.")
	flags.StringVar(&f.Log, "log", "warn", "Minimum log `LEVEL`: "+strings.Join(logLevels, ", ")+".")
	cli.CompleteValues(c, "log", logLevels)
	return c
}

// demoKey is a constant, so that the commands in the documentation work as shown. It gives
// access to emulators only.
var demoKey = apikey.Seal("agw_test_" + "demodemodemodemodemodemodemodemo")

const (
	defaultDemoListen = "127.0.0.1:8080"
	defaultDemoAdmin  = "127.0.0.1:9090"
)

func (d *demo) run(a *cli.App) error {
	if err := cli.CheckValue("log", d.Log, logLevels); err != nil {
		return err
	}
	isLoopback, err := onLoopback(d.Listen)
	if err != nil {
		return cli.UsageErrorf("--listen %s: %w", d.Listen, err)
	}
	switch isLoopback, err := onLoopback(d.Admin); {
	case err != nil:
		return cli.UsageErrorf("--admin %s: %w", d.Admin, err)
	case !isLoopback:
		return cli.UsageErrorf("--admin %s: the demo's console needs no key, so it is served on loopback only", d.Admin)
	}
	if d.Traffic != 0 && (d.Traffic < 0.01 || d.Traffic > 1000) {
		return cli.UsageErrorf("--traffic %g: want 0.01 to 1000 requests per second, or 0 for none", d.Traffic)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	providers, stopProviders, err := startProviders()
	if err != nil {
		return err
	}
	defer stopProviders()
	var notes []string
	if !isLoopback {
		notes = append(notes, "WARNING: "+d.Listen+" is not on loopback. Whoever reaches it can use the demo: its key is public. The agents are emulated")
	}
	listen, note := freeAddress(d.Listen, defaultDemoListen)
	notes = append(notes, note...)
	admin, note := freeAddress(d.Admin, defaultDemoAdmin)
	notes = append(notes, note...)

	load := func(*config.Config) (*config.Config, error) {
		return config.Load(demoSource(providers, listen, admin, d.Log))
	}
	loaded, err := load(nil)
	if err != nil {
		return err
	}
	log, output := newLogger(a.Stderr, loaded.File.Log)
	defer output.Close()
	srv, err := newService(ctx, loaded, log, output, load)
	if err != nil {
		return err
	}
	if err := srv.listen(); err != nil {
		return err
	}
	d.explain(a, srv.publicListener.Addr().String(), srv.adminListener.Addr().String(), notes)
	if d.Traffic > 0 {
		t := &traffic{api: "http://" + srv.publicListener.Addr().String(), providers: providers}
		trafficCtx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { t.run(trafficCtx, d.Traffic) })
		defer func() { cancel(); running.Wait() }()
	}
	return srv.run(ctx)
}

// onLoopback reports whether an address is on loopback. It returns an error if it is not host:port.
func onLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, errors.New("want host:port")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// freeAddress returns the address, or, if it is the default and in use, one with port 0 and a
// note for the user.
func freeAddress(address, standard string) (string, []string) {
	if address != standard {
		return address, nil
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close() // the gateway opens it again
		return address, nil
	}
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, "0"), []string{address + " is in use; using a free port instead"}
}

// emulatedProvider is a running emulator of a provider.
type emulatedProvider struct {
	name, baseURL, key string
	control            *sandbox.Server
}

// startProviders runs the emulator of each provider on a free loopback port until stop is
// called. Call stop after the gateway has ended, so that running requests can finish.
func startProviders() (providers []emulatedProvider, stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Close() // the process is about to end
		}
	}
	for _, v := range all.Entries() {
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
		providers = append(providers, emulatedProvider{v.Info.Provider, "http://" + l.Addr().String() + emulator.Prefix(), key, emulator.Control()})
	}
	return providers, stop, nil
}

// demoSource returns the configuration of the demo, in the form of a file.
func demoSource(providers []emulatedProvider, listen, admin, level string) config.Source {
	var file, credentials strings.Builder
	secrets := map[string]string{}
	fmt.Fprintf(&file, "server: {listen: %q, drain_for: 0s}\nadmin: {listen: %q}\nlog: {level: %s}\nstore: {url: %q}\nbackends:\n", listen, admin, level, store.Memory)
	for _, p := range providers {
		fmt.Fprintf(&file, "  %s: {provider: %s, base_url: %q}\n", p.name, p.name, p.baseURL)
		variable := "DEMO_" + strings.ToUpper(p.name)
		secrets[variable] = p.key
		fmt.Fprintf(&credentials, "      %s: env:%s\n", p.name, variable)
	}
	fmt.Fprintf(&file, "keys:\n  - id: demo\n    sha256: \"%x\"\n    scopes: [agents:read, agents:write, aliases:write, migrations:write]\n    credentials:\n%s", apikey.Hash(demoKey), credentials.String())
	return config.Source{
		Path:      "demo configuration",
		Providers: all.Names(),
		ReadFile:  func(string) ([]byte, error) { return []byte(file.String()), nil },
		LookupEnv: func(name string) (string, bool) { v, ok := secrets[name]; return v, ok },
	}
}

// explain prints the addresses, the key and commands to try.
func (d *demo) explain(a *cli.App, api, admin string, notes []string) {
	fmt.Fprintf(a.Stdout, `agentgw demo: four emulated providers. No request leaves this machine.

  agents   http://%[1]s/v1/agents
  docs     http://%[1]s/docs#key=%[3]s
  console  http://%[2]s/console
  metrics  http://%[2]s/metrics
  key      %[3]s

`, api, admin, demoKey)
	for _, n := range notes {
		fmt.Fprintf(a.Stdout, "  (%s)\n\n", n)
	}
	fmt.Fprintf(a.Stdout, `Try:

  curl -H 'Authorization: Bearer %[2]s' 'http://%[1]s/v1/agents?limit=2'
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/agents/klen:123
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/agents/talkifai:agent_abc123
  curl -H 'Authorization: Bearer %[2]s' http://%[1]s/v1/backends/krosai
  curl -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
    -d '{"backend":"talkifai","name":"Night Desk","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}' \
    http://%[1]s/v1/agents

Migrate an agent to another provider (docs/migrating.md):

  export AGENTGW_URL=http://%[1]s AGENTGW_KEY=%[2]s
  agentgw migrate plan klen:123 --to krosai

Press Ctrl-C to stop.
`, api, demoKey)
}

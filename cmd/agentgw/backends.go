package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// backendsCommand is `agentgw backends`.
type backendsCommand struct {
	configFlag
	Probe, JSON bool
}

func newBackends(a *cli.App) *cobra.Command {
	var f backendsCommand
	c := cli.NewCommand("backends", "Show the capabilities of each backend.", cli.NoArgs, func([]string) error { return f.run(a) })
	f.define(c, a)
	c.Flags().BoolVar(&f.Probe, "probe", false, "List the agents of each backend once with each credential. Sends real requests to the providers.")
	cli.JSONFlag(c, &f.JSON)
	return c
}

type backendRow struct {
	Backend  string `json:"backend"`
	Provider string `json:"provider"`
	info     *adapters.Info
	backend.Capabilities
}

func (b *backendsCommand) run(a *cli.App) error {
	loaded, err := config.Load(b.source(a))
	if err != nil {
		return configError(err)
	}
	if b.Probe {
		return b.probe(a, loaded)
	}
	infos := map[string]*adapters.Info{}
	for _, p := range all.Providers() {
		infos[p.Info.Provider] = p.Info
	}
	var rows []backendRow
	for _, configured := range loaded.Backends {
		info := infos[configured.Provider]
		rows = append(rows, backendRow{configured.Name, configured.Provider, info, backend.CapabilitiesOf(info)})
	}
	if b.JSON {
		return a.PrintJSON(map[string]any{"object": "list", "data": rows})
	}
	return printBackends(a, rows)
}

// printBackends prints the operations, then the fields, of each backend.
func printBackends(a *cli.App, rows []backendRow) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "BACKEND\tPROVIDER")
	for _, op := range adapters.Operations() {
		fmt.Fprintf(w, "\t%s", strings.ToUpper(string(op)))
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s", r.Backend, r.Provider)
		for _, op := range adapters.Operations() {
			fmt.Fprintf(w, "\t%s", r.info.Operations[op])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\nFIELD")
	for _, r := range rows {
		fmt.Fprintf(w, "\t%s", r.Backend)
	}
	fmt.Fprintln(w)
	for _, f := range normalize.AllFields() {
		if !normalize.Optional.Has(f) {
			continue
		}
		fmt.Fprint(w, f.Name())
		for _, r := range rows {
			fmt.Fprintf(w, "\t%s", backend.FieldCell(r.info, f))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\nl list, g get, c create, u update; ! required on create (followed by the architectures that require it, if not all)")
	return w.Flush()
}

// probe lists the agents of each backend with each credential, and fails if any call does.
func (b *backendsCommand) probe(a *cli.App, c *config.Config) error {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	t, err := telemetry.New(ctx, telemetry.Options{Version: version, Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = t.Shutdown(ctx) }() // nothing was exported
	g, err := gateway.New(gateway.Options{Providers: all.Providers(), Version: version, Log: log, Telemetry: t}, c)
	if err != nil {
		return err
	}
	defer g.Close()
	probes := g.Probe(ctx)
	failed := 0
	for _, p := range probes {
		if !p.OK {
			failed++
		}
	}
	if b.JSON {
		if err := a.PrintJSONLine(map[string]any{"object": "list", "data": probes}); err != nil {
			return err
		}
	} else if err := printProbes(a, probes); err != nil {
		return err
	}
	if len(probes) == 0 {
		fmt.Fprintln(a.Stderr, "warning: nothing was probed, because no key has a credential for a backend; agentgw keys new creates a key")
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d probes failed", failed, len(probes))
	}
	return nil
}

func printProbes(a *cli.App, probes []gateway.Probe) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BACKEND\tPROVIDER\tKEYS\tRESULT\tTOOK")
	for _, p := range probes {
		result := fmt.Sprintf("ok, %d agents", p.Agents)
		if !p.OK {
			result = p.Problem
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Backend, p.Provider, strings.Join(p.Keys, ","), result, p.Took.Round(time.Millisecond))
	}
	return w.Flush()
}

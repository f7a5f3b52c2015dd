package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

type backendsCommand struct {
	configFlag
	Probe, JSON bool
}

func newBackends(a *app) *cobra.Command {
	var f backendsCommand
	c := newCommand("backends", "Show what each backend can do.", cobra.NoArgs, func([]string) error { return f.run(a) })
	f.define(c, a)
	c.Flags().BoolVar(&f.Probe, "probe", false, "List the agents of every backend once with every credential. These are real calls.")
	jsonFlag(c, &f.JSON)
	return c
}

type backendRow struct {
	Backend  string `json:"backend"`
	Provider string `json:"provider"`
	info     *adapters.Info
	gateway.Capabilities
}

func (b *backendsCommand) run(a *app) error {
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
		rows = append(rows, backendRow{configured.Name, configured.Provider, info, gateway.CapabilitiesOf(info)})
	}
	if b.JSON {
		out, err := marshal(map[string]any{"object": "list", "data": rows})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", out)
		return err
	}
	return printBackends(a, rows)
}

func printBackends(a *app, rows []backendRow) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
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
			fmt.Fprintf(w, "\t%s", gateway.FieldCell(r.info, f))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\nl list, g get, c create, u update; ! required to create (for the architectures named, or all)")
	return w.Flush()
}

func (b *backendsCommand) probe(a *app, c *config.Config) error {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	t, err := telemetry.New(ctx, telemetry.Options{Version: version, Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = t.Shutdown(ctx) }() // nothing was exported that could be lost
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
		if err := json.NewEncoder(a.stdout).Encode(map[string]any{"object": "list", "data": probes}); err != nil {
			return err
		}
	} else if err := printProbes(a, probes); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d probes failed", failed, len(probes))
	}
	return nil
}

func printProbes(a *app, probes []gateway.Probe) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
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

// marshal keeps the order of fields, which encoding/json's maps would not.
func marshal(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsonv2.Deterministic(true), jsontext.WithIndent("  "))
}

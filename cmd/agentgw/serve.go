package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
)

func newServe(a *cli.App) *cobra.Command {
	var f configFlag
	c := cli.NewCommand("serve", "Run the gateway.", cli.NoArgs, func([]string) error { return serve(a, f) })
	f.define(c, a)
	return c
}

// serve runs the gateway until SIGINT or SIGTERM. A second signal ends the process at once.
func serve(a *cli.App, f configFlag) error {
	source := f.source(a)
	loaded, err := config.Load(source)
	if err != nil {
		return configError(err)
	}
	log, output := newLogger(a.Stderr, loaded.File.Log)
	defer output.Close()
	for _, w := range loaded.Warnings {
		log.Warn("configuration: "+w.Message, "path", w.Where(), "line", w.Line)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv, err := newService(ctx, loaded, log, output, func(previous *config.Config) (*config.Config, error) {
		source.Previous = previous
		return config.Load(source)
	})
	if err != nil {
		return err
	}
	if err := srv.listen(); err != nil {
		return err
	}
	// Reloads continue while the gateway drains, so that a key that is removed then is
	// refused.
	reloadCtx, stopReloads := context.WithCancel(context.Background())
	defer stopReloads()
	go srv.reloadOnChange(reloadCtx)
	context.AfterFunc(ctx, stop) // restores the default action of the second signal
	return srv.run(ctx)
}

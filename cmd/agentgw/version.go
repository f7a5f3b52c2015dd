package main

import (
	"encoding/json"
	"fmt"
	"runtime"
)

// Set by the Makefile (-ldflags -X).
var (
	version = "dev"
	commit  = "unknown"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (v *versionCmd) Run(a *app) error {
	if v.JSON {
		return json.NewEncoder(a.stdout).Encode(map[string]string{"version": version, "commit": commit, "go": runtime.Version()})
	}
	_, err := fmt.Fprintln(a.stdout, describeVersion())
	return err
}

func describeVersion() string {
	return fmt.Sprintf("agentgw %s (commit %s, %s)", version, commit, runtime.Version())
}

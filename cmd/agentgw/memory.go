package main

import (
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory has the runtime collect garbage rather than be killed: nine tenths of what
// the container may have are GOMEMLIMIT, unless that is set. (Of its CPUs Go 1.25 knows by
// itself, and sets GOMAXPROCS.) AUTOMEMLIMIT is another ratio, or off.
func limitMemory(log *slog.Logger, container memlimit.Provider) {
	limit, err := memlimit.Set(memlimit.WithProvider(container))
	switch {
	case err != nil: // no cgroup, or none that can be read
		log.Debug("no memory limit is known", "error", err)
	case limit < math.MaxInt64:
		log.Info("memory limit", "bytes", limit)
	}
}

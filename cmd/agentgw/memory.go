package main

import (
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// setMemoryLimit sets GOMEMLIMIT to 90 % of the container's memory, unless the variable is
// set, so that the runtime collects garbage before the container is killed. AUTOMEMLIMIT
// sets another ratio, or is off. (The runtime itself sets GOMAXPROCS to the CPU limit.)
func setMemoryLimit(log *slog.Logger, container memlimit.Provider) {
	limit, err := memlimit.Set(memlimit.WithProvider(container))
	switch {
	case err != nil: // no cgroup, or it cannot be read
		log.Debug("the container has no known memory limit", "error", err)
	case limit < math.MaxInt64:
		log.Info("memory limit set", "bytes", limit)
	}
}

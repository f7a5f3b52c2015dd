// Command bench measures the gateway, whole and as it is configured in production, against
// the least that a program on the same libraries could do for the same answer, and how its
// cost grows.
//
//	go run ./test/bench                    all of it, some fifteen minutes
//	go run ./test/bench -only closed       one part: closed, observed, open, tenants, growth
//	go run ./test/bench -ref main~3        this tree against another commit
//	go run ./test/bench -short             a second of each, to see that it works
//
// The figure to trust is CPU time per request, user and system, of the server's process;
// the two sides of each comparison take turns. It needs Linux and wrk; with nginx it is
// measured, too.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	short  = flag.Bool("short", false, "a second of each, once, and of what grows the smallest")
	only   = flag.String("only", "", "parts, parted by commas; empty for all: "+strings.Join(parts, ", "))
	ref    = flag.String("ref", "", "commit to compare this tree with")
	agents = flag.Int("agents", 25, "agents of each of the four vendors")
	rounds = flag.Int("rounds", 5, "how often the sides take turns")
	length = flag.Duration("for", 5*time.Second, "of each measurement")
	out    = flag.String("out", "docs/performance", "folder for the figures; empty for none")
)

// parts are what is measured.
var parts = []string{"closed", "observed", "open", "tenants", "growth"}

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *short {
		*rounds, *length = 1, time.Second
	}
	b := &bench{}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		b.stop()
		os.Exit(1)
	}()
	err := b.prepare()
	if err == nil {
		err = b.measure()
	}
	b.stop()
	if err != nil {
		log.Fatalln("bench:", err)
	}
}

// measure does what is asked for, and says what came out.
func (b *bench) measure() error {
	if *ref != "" {
		rows, err := b.against(*ref)
		if err == nil {
			printAgainst(os.Stdout, *ref, rows)
		}
		return err
	}
	r := &report{At: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(), Agents: *agents}
	for _, part := range parts {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part) {
			continue
		}
		if err := b.part(part)(r); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	r.print(os.Stdout)
	if *out == "" || *short || *only != "" {
		return nil
	}
	return r.write(*out)
}

// part measures one of parts.
func (b *bench) part(name string) func(*report) error {
	return map[string]func(*report) error{
		"closed": b.closedLoop, "observed": b.observed, "open": b.slow, "tenants": b.tenants, "growth": b.growth,
	}[name]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

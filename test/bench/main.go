// Command bench measures the gateway, configured as in production, against two programs on
// the same libraries: bare, which does the least that can produce the same bytes, and
// observed, which also does what every response needs (see command bare).
//
//	go run ./test/bench              everything, about ten minutes
//	go run ./test/bench -only closed one part: closed, open, memory, process
//	go run ./test/bench -ref main~3  this tree and another commit, in one run
//	go run ./test/bench -short       a second of each case, to test that it works
//
// The figure to compare is CPU time per request, user and system, of the server process. All
// sides of a case take turns, so that they see the same machine. It needs Linux and wrk; if
// nginx is installed, its cache is measured too.
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
	short  = flag.Bool("short", false, "one round of a second each")
	only   = flag.String("only", "", "parts, separated by commas; all if it is empty: "+strings.Join(parts, ", "))
	ref    = flag.String("ref", "", "commit to compare this tree with")
	agents = flag.Int("agents", 25, "agents of each of the four providers")
	rounds = flag.Int("rounds", 5, "how often the sides take turns")
	length = flag.Duration("for", 5*time.Second, "length of each measurement")
	out    = flag.String("out", "docs/performance", "folder for the figures; none are written if it is empty")
)

// parts are what is measured.
var parts = []string{"closed", "open", "memory", "process"}

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *short {
		*rounds, *length = 1, time.Second
	}
	b := &bench{servers: map[setup]*server{}}
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

// measure measures the parts and prints the figures. It writes them if nothing was left out
// and this tree alone was measured.
func (b *bench) measure() error {
	r := &report{At: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(), Agents: *agents, Ref: *ref}
	for _, part := range parts {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), part) {
			continue
		}
		run := map[string]func(*report) error{"closed": b.closedLoop, "open": b.openLoop, "memory": b.memoryOfKeys, "process": b.process}[part]
		if err := run(r); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	r.print(os.Stdout)
	if *out == "" || *short || *only != "" || *ref != "" {
		return nil
	}
	return r.write(*out)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// Command benchkit measures amlgate beside what else could stand in front of AzureML, on one machine and in one run: Go's
// httputil.ReverseProxy with a key check and a rate limiter, nginx with the same, and no proxy at all. It makes the table
// and the picture that README shows:
//
//	go run ./cmd/benchkit -rounds 3 -seconds 3 -out DIR
//
// Three further modes: -sweep for throughput against latency, -fixed-rate for the latency that a proxy adds, -memory for
// what 256 large calls at a time take. -plot draws what -sweep and the rounds have left in DIR.
//
// It starts everything itself, an upstream with precomputed answers included, on loopback, and ends it again. Every round
// measures every target once at each size, one after the other, so that the ratios of a round come from the same minutes
// of the machine. On a shared machine, the proxy's CPU time a call and its ratio to another target in the same round are
// the figures to trust; calls a second and latency move with whatever else runs.
//
// What it is not: a comparison with Envoy, Kong, APISIX, KrakenD, Tyk, Traefik or any cloud gateway, none of which was
// measured; a test of correctness, although every answer is checked; a way to load anything beyond loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	rounds        int
	seconds       float64
	warmup        time.Duration
	concurrency   int
	out           string
	only, sizes   string
	amlgate       string
	flags         string
	also          map[string]string
	memory, sweep bool
	fixedRate     float64
	plot, more    bool
	picture       string
	progress      io.Writer // a line for each result
}

// roles are what the command becomes when it starts itself.
var roles = map[string]func([]string) error{
	"upstream":     upstream,
	"reverseproxy": reverseProxy,
	"grpc-struct":  structService,
}

func main() {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			exit(role(os.Args[2:]))
		}
	}
	runtime.LockOSThread() // what it starts ends with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:], os.Stderr))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchkit:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{also: map[string]string{}, progress: stderr}
	f := flag.NewFlagSet("benchkit", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	f.Float64Var(&o.seconds, "seconds", 3, "how long each target is measured at each size, at most 30")
	f.DurationVar(&o.warmup, "warmup", time.Second, "how long each is loaded before")
	f.IntVar(&o.concurrency, "concurrency", 32, "calls under way at a time")
	f.StringVar(&o.out, "out", "", "`folder` for results.tsv, table.md and the picture (required)")
	f.StringVar(&o.only, "only", "", "measure these `targets`, comma separated; a name that ends in * stands for all that begin so")
	f.StringVar(&o.sizes, "sizes", "", "`sizes` to measure, comma separated: small,medium,large where empty; there are large-full and large-classic too")
	f.StringVar(&o.amlgate, "amlgate", "", "amlgate's program `file`; built from this tree where empty")
	f.StringVar(&o.flags, "amlgate-flags", "", "further `flags` of amlgate serve, separated by blanks")
	f.Func("also", "measure another amlgate beside, `NAME=FILE`; may be repeated", func(s string) error {
		name, file, ok := strings.Cut(s, "=")
		if !ok || name == "" || file == "" {
			return errors.New("NAME=FILE is expected")
		}
		o.also[name] = file
		return nil
	})
	f.BoolVar(&o.memory, "memory", false, "measure memory instead: 256 large calls at a time")
	f.BoolVar(&o.sweep, "sweep", false, "measure throughput against latency instead, at 1 to 128 calls at a time, medium where -sizes is empty")
	f.Float64Var(&o.fixedRate, "fixed-rate", 0, "measure added latency instead, at this many `calls` a second, small where -sizes is empty")
	f.BoolVar(&o.more, "more", false, "add rounds to those that the folder has")
	f.BoolVar(&o.plot, "plot", false, "measure nothing: draw the picture of what is in the folder")
	f.StringVar(&o.picture, "picture", "", "`file` for the picture, .svg or .png; picture.svg in the folder where empty")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case o.out == "":
		return nil, errors.New("-out: a folder is needed")
	case o.rounds < 1 || o.seconds <= 0 || o.seconds > 30 || o.concurrency < 1 || o.concurrency > 1024:
		return nil, errors.New("-rounds, -seconds, -concurrency: allowed is more than 0, at most 30 seconds and 1024 calls")
	}
	return o, os.MkdirAll(o.out, 0o755)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// run is the whole command.
func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	k, err := newKids()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.stop()) }()
	return measureRounds(ctx, k, o)
}

// measureRounds measures every target at every size, in rounds.
func measureRounds(ctx context.Context, k *kids, o *options) error {
	sizes, err := o.chosen()
	if err != nil {
		return err
	}
	targets, err := startTargets(ctx, k, o)
	if err != nil {
		return err
	}
	var results []result
	for round := 1; round <= o.rounds; round++ {
		for _, size := range sizes {
			for i := range targets {
				// Each round begins with another target, so that none always comes after the same one.
				t := targets[(i+round-1)%len(targets)]
				report, err := measure(ctx, t, size, load.Plan{Concurrency: o.concurrency, Duration: time.Duration(o.seconds) * time.Second}, o.warmup)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, size.Name, err)
				}
				results = append(results, newResult(t.name, size.Name, round, report))
				tellResult(os.Stderr, &results[len(results)-1], report)
			}
		}
	}
	return save(o.out, ordered(results, targets))
}

// measure loads a target twice, and reports on the second time.
func measure(ctx context.Context, t *target, size load.Size, plan load.Plan, warmup time.Duration) (*load.Report, error) {
	at, err := t.open(size, plan.Concurrency)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	warm := plan
	warm.Duration, warm.Requests = warmup, 0
	if _, err := load.Run(ctx, at, warm, nil); err != nil {
		return nil, err
	}
	plan.PIDs = t.pids()
	report, err := load.Run(ctx, at, plan, nil)
	if err == nil {
		err = ctx.Err()
	}
	return report, err
}

func newResult(target, size string, round int, r *load.Report) result {
	return result{
		target: target, size: size, round: round, rate: r.Rate,
		p50: millis(r.Quantile(0.5)), p99: millis(r.Quantile(0.99)),
		cpu: r.CPUPerCall(), rss: float64(r.RSS) / (1 << 20), bad: r.Calls - r.Good,
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tellResult prints a line as soon as it is measured.
func tellResult(w io.Writer, r *result, report *load.Report) {
	_, _ = fmt.Fprintf(w, "round %d  %-13s  %-26s %8.0f calls/s  p50 %7.2f ms  p99 %7.2f ms  CPU %8.1f us  RSS %4.0f MiB  bad %d",
		r.round, r.size, r.target, r.rate, r.p50, r.p99, r.cpu, r.rss, r.bad)
	for _, f := range report.Failures {
		_, _ = fmt.Fprintf(w, "; %d x %s %s", f.Count, f.Kind, f.Detail)
	}
	_, _ = fmt.Fprintln(w)
}

// ordered puts results into the order of the targets, whatever order they were measured in.
func ordered(results []result, targets []*target) []result {
	var out []result
	for _, t := range targets {
		for _, r := range results {
			if r.target == t.name {
				out = append(out, r)
			}
		}
	}
	return out
}

// save writes the results and the tables made of them.
func save(dir string, results []result) error {
	if err := write(filepath.Join(dir, "results.tsv"), func(w io.Writer) error { return writeResults(w, results) }); err != nil {
		return err
	}
	return write(filepath.Join(dir, "table.md"), table{results}.markdown)
}

// write makes a file of what fill writes.
func write(name string, fill func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := fill(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

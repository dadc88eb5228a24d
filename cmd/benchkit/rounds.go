package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// run is the whole command.
func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.plot {
		return paint(o)
	}
	k, err := newKids()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.stop()) }()
	switch {
	case o.memory:
		return measureMemory(ctx, k, o)
	case o.sweep:
		return measureSweep(ctx, k, o)
	case o.fixedRate > 0:
		return measureFixedRate(ctx, k, o)
	}
	return measureRounds(ctx, k, o)
}

// measureRounds measures every target at every size, in rounds.
func measureRounds(ctx context.Context, k *kids, o *options) error {
	plan := load.Plan{Concurrency: o.concurrency, Duration: o.window()}
	t, err := inRounds(ctx, k, o, "results.tsv", "small,medium,large", []load.Plan{plan})
	if err != nil {
		return err
	}
	return write(filepath.Join(o.out, "table.md"), t.markdown)
}

// window is how long each target is measured.
func (o *options) window() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

// inRounds measures every target at every size with every plan, in rounds, and keeps the results in a file of the folder.
func inRounds(ctx context.Context, k *kids, o *options, file, usual string, plans []load.Plan) (table, error) {
	sizes, err := o.chosen(usual)
	if err != nil {
		return table{}, err
	}
	file = filepath.Join(o.out, file)
	var results []result
	before := 0
	if o.more {
		if results, err = readFile(file); err != nil {
			return table{}, err
		}
		for _, r := range results {
			before = max(before, r.round)
		}
	}
	targets, err := startTargets(ctx, k, o)
	if err != nil {
		return table{}, err
	}
	for round := before + 1; round <= before+o.rounds; round++ {
		for _, size := range sizes {
			for _, plan := range plans {
				for i := range targets {
					// Each round begins with another target, so that none always comes after the same one.
					r, err := measure(ctx, targets[(i+round-1)%len(targets)], size, plan, o, round)
					if err != nil {
						return table{}, err
					}
					results = append(results, r)
				}
			}
		}
	}
	t := table{ordered(results, targets)}
	return t, write(file, func(w io.Writer) error { return writeResults(w, t.results) })
}

// measure loads a target twice, and returns the second time's result.
func measure(ctx context.Context, t *target, size load.Size, plan load.Plan, o *options, round int) (result, error) {
	failed := func(err error) (result, error) {
		return result{}, fmt.Errorf("%s, %s: %w", t.name, size.Name, err)
	}
	at, err := t.open(size, plan.Concurrency)
	if err != nil {
		return failed(err)
	}
	defer at.Close()
	warm := plan
	warm.Duration = o.warmup
	if _, err := load.Run(ctx, at, warm, nil); err != nil {
		return failed(err)
	}
	plan.PIDs = t.pids()
	report, err := load.Run(ctx, at, plan, nil)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return failed(err)
	}
	r := result{
		target: t.name, size: size.Name, concurrency: plan.Concurrency, round: round, rate: report.Rate,
		p50: millis(report.Quantile(0.5)), p99: millis(report.Quantile(0.99)),
		cpu: report.CPUPerCall(), rss: float64(report.RSS) / (1 << 20), bad: report.Calls - report.Good + report.Behind,
	}
	tellResult(o.progress, &r, report)
	return r, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tellResult prints a line as soon as it is measured.
func tellResult(w io.Writer, r *result, report *load.Report) {
	_, _ = fmt.Fprintf(w, "round %d  %-13s  %3d x %-26s %8.0f calls/s  p50 %7.2f ms  p99 %7.2f ms  CPU %8.1f us  RSS %4.0f MiB  bad %d",
		r.round, r.size, r.concurrency, r.target, r.rate, r.p50, r.p99, r.cpu, r.rss, r.bad)
	for _, f := range report.Failures {
		_, _ = fmt.Fprintf(w, "; %d x %s %s", f.Count, f.Kind, f.Detail)
	}
	_, _ = fmt.Fprintln(w)
}

// ordered puts results into the order of the targets, whatever order they were measured in; those of targets that were
// measured in other runs come last.
func ordered(results []result, targets []*target) []result {
	rank := func(r result) int {
		i := slices.IndexFunc(targets, func(t *target) bool { return t.name == r.target })
		if i < 0 {
			return len(targets)
		}
		return i
	}
	slices.SortStableFunc(results, func(a, b result) int { return cmp.Compare(rank(a), rank(b)) })
	return results
}

// readFile reads results that an earlier run left; none is an empty list.
func readFile(name string) ([]result, error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	results, err := readResults(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return results, nil
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

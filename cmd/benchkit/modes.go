package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// measureSweep measures throughput against latency: more and more calls at a time.
func measureSweep(ctx context.Context, k *kids, o *options) error {
	o.only = cmp.Or(o.only, "reverseproxy,nginx,amlgate")
	var plans []load.Plan
	for concurrency := 1; concurrency <= 128; concurrency *= 2 {
		plans = append(plans, load.Plan{Concurrency: concurrency, Duration: o.window()})
	}
	_, err := inRounds(ctx, k, o, "sweep.tsv", "medium", plans)
	return err
}

// measureFixedRate measures latency at a rate that every target keeps up with, and what it is more than the direct way's.
func measureFixedRate(ctx context.Context, k *kids, o *options) error {
	o.only = cmp.Or(o.only, "direct,reverseproxy,nginx,amlgate,amlgate-grpc-json,amlgate-grpc-tables")
	plan := load.Plan{Concurrency: o.concurrency, Rate: o.fixedRate, Duration: o.window()}
	t, err := inRounds(ctx, k, o, "fixed-rate.tsv", "small", []load.Plan{plan})
	if err != nil {
		return err
	}
	return write(filepath.Join(o.out, "fixed-rate.md"), t.added)
}

// added writes a table of latencies at a fixed rate, and of what they are more than the direct way's in the same round.
func (t table) added(w io.Writer) error {
	if _, err := io.WriteString(w, "| size | target | calls/s | p50 ms | p99 ms | added p50 ms | added p99 ms | CPU us a call | bad |\n|---|---|---|---|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, size := range t.sizes() {
		for _, target := range t.targets() {
			rounds := t.of(target, size)
			if len(rounds) == 0 {
				continue
			}
			bad := 0
			for _, r := range rounds {
				bad += r.bad
			}
			_, err := fmt.Fprintf(w, "| %s | %s | %.0f | %.2f | %.2f | %s | %s | %.1f | %d |\n", size, target,
				medianOf(rounds, rateOf), medianOf(rounds, p50Of), medianOf(rounds, p99Of),
				addedText(t.more(target, size, p50Of)), addedText(t.more(target, size, p99Of)), medianOf(rounds, cpuOf), bad)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// more returns by how much a value of a target is more than the direct way's in the same round.
func (t table) more(target, size string, value func(*result) float64) []float64 {
	var out []float64
	for _, a := range t.of(target, size) {
		for _, b := range t.of("direct", size) {
			if a.round == b.round && a.target != b.target {
				out = append(out, value(&a)-value(&b))
			}
		}
	}
	return out
}

func addedText(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.2f", median(values))
}

// inFlight is how many calls at a time the memory is measured with.
const inFlight = 256

// measureMemory measures the memory that an amlgate takes for many calls at a time. Every lane has an amlgate of its own,
// started for it, so that none finds another's memory.
func measureMemory(ctx context.Context, k *kids, o *options) error {
	sizes, err := o.chosen("large")
	if err != nil {
		return err
	}
	s := &starter{ctx: ctx, kids: k, options: o}
	if s.plain, err = k.startRole("upstream", "upstream"); err != nil {
		return err
	}
	program := o.amlgate
	if program == "" {
		if program, err = s.build(); err != nil {
			return err
		}
	}
	text := "| size | lane | RSS MiB idle | RSS MiB at most | requests in flight MiB | ratio | with answers MiB | ratio | calls/s | bad |\n|---|---|---|---|---|---|---|---|---|---|\n"
	for _, size := range sizes {
		for _, lane := range lanes {
			via, err := k.startAmlgate("memory-"+size.Name+lane, program, baseURL(s.plain.address, ""), "", o.flags)
			if err != nil {
				return err
			}
			t := &target{"amlgate" + lane, via, func(size load.Size, concurrency int) (*load.Target, error) {
				return openAmlgate(via, lane, size, concurrency)
			}}
			line, err := memoryLine(ctx, o, t, size)
			if err != nil {
				return err
			}
			text += line
			if err := via.end(); err != nil {
				return err
			}
		}
	}
	_, _ = io.WriteString(o.progress, text)
	return os.WriteFile(filepath.Join(o.out, "memory.md"), []byte(text), 0o644)
}

// memoryLine measures one lane.
func memoryLine(ctx context.Context, o *options, t *target, size load.Size) (string, error) {
	idle, err := load.RSS(t.pids())
	if err != nil {
		return "", err
	}
	r, err := measure(ctx, t, size, load.Plan{Concurrency: inFlight, Duration: o.window()}, o, 1)
	if err != nil {
		return "", err
	}
	mib := func(bytes int) float64 { return float64(bytes) / (1 << 20) }
	requests := mib(inFlight * len(size.Request()))
	both := requests + mib(inFlight*len(size.Answer()))
	return fmt.Sprintf("| %s | %s | %.0f | %.0f | %.0f | %.2f | %.0f | %.2f | %.0f | %d |\n",
		size.Name, t.name, mib(int(idle)), r.rss, requests, r.rss/requests, both, r.rss/both, r.rate, r.bad), nil
}

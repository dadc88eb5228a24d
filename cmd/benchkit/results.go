package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// result is one target at one size in one round.
type result struct {
	target, size string
	concurrency  int // calls under way at a time
	round        int
	rate         float64 // good answers a second
	p50, p99     float64 // milliseconds
	cpu          float64 // microseconds a call; 0 where no proxy is in the way
	rss          float64 // MiB
	bad          int     // calls without a good answer, or not sent when due
}

// columns are results.tsv's.
var columns = []string{"target", "size", "concurrency", "round", "calls_per_s", "p50_ms", "p99_ms", "cpu_us", "rss_mib", "bad"}

func (r *result) fields() []string {
	f := func(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	return []string{r.target, r.size, strconv.Itoa(r.concurrency), strconv.Itoa(r.round), f(r.rate, 1), f(r.p50, 3), f(r.p99, 3), f(r.cpu, 2), f(r.rss, 1), strconv.Itoa(r.bad)}
}

// writeResults writes results as a TSV with a line of names.
func writeResults(w io.Writer, results []result) error {
	out := csv.NewWriter(w)
	out.Comma = '\t'
	if err := out.Write(columns); err != nil {
		return err
	}
	for i := range results {
		if err := out.Write(results[i].fields()); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// readResults reads what writeResults wrote.
func readResults(r io.Reader) ([]result, error) {
	in := csv.NewReader(r)
	in.Comma = '\t'
	in.FieldsPerRecord = len(columns)
	lines, err := in.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || !slices.Equal(lines[0], columns) {
		return nil, fmt.Errorf("the first line must be %s", strings.Join(columns, " "))
	}
	results := make([]result, len(lines)-1)
	for i, line := range lines[1:] {
		r := &results[i]
		r.target, r.size = line[0], line[1]
		errs := make([]error, len(columns)-2)
		r.concurrency, errs[0] = strconv.Atoi(line[2])
		r.round, errs[1] = strconv.Atoi(line[3])
		for j, v := range []*float64{&r.rate, &r.p50, &r.p99, &r.cpu, &r.rss} {
			*v, errs[j+2] = strconv.ParseFloat(line[j+4], 64)
		}
		r.bad, errs[7] = strconv.Atoi(line[9])
		for j, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("line %d, %s: %w", i+2, columns[j+2], err)
			}
		}
	}
	return results, nil
}

// table is results by size and target, both in the order in which they first came.
type table struct{ results []result }

func (t table) sizes() []string {
	return unique(t.results, func(r *result) string { return r.size })
}

func (t table) targets() []string {
	return unique(t.results, func(r *result) string { return r.target })
}

func unique(results []result, key func(*result) string) []string {
	var out []string
	for i := range results {
		if k := key(&results[i]); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// of returns a target's rounds at a size.
func (t table) of(target, size string) []result {
	var out []result
	for _, r := range t.results {
		if r.target == target && r.size == size {
			out = append(out, r)
		}
	}
	return out
}

// ratios returns the CPU time of a target divided by that of another in the same round, one a round that has both.
func (t table) ratios(target, to, size string) []float64 {
	var out []float64
	for _, a := range t.of(target, size) {
		for _, b := range t.of(to, size) {
			if a.round == b.round && a.cpu > 0 && b.cpu > 0 && a.rate > 0 && b.rate > 0 {
				out = append(out, a.cpu/b.cpu)
			}
		}
	}
	return out
}

// median returns the middle value, the mean of the middle two where there is none, 0 of nothing.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// peerOf is the peer that a target is compared with: the one with the same kind of upstream.
func peerOf(target, peer string) string {
	if strings.HasSuffix(target, overTLS) {
		return peer + overTLS
	}
	return peer
}

// markdown writes a table a size: medians over the rounds, and ratios paired per round as median (least to most).
func (t table) markdown(w io.Writer) error {
	for _, size := range t.sizes() {
		_, err := fmt.Fprintf(w, "### %s\n\n| target | calls/s | p50 ms | p99 ms | CPU us a call | to ReverseProxy | to nginx | to grpc-struct | RSS MiB | bad |\n|---|---|---|---|---|---|---|---|---|---|\n", size)
		if err != nil {
			return err
		}
		for _, target := range t.targets() {
			rounds := t.of(target, size)
			if len(rounds) == 0 {
				continue
			}
			if _, err := io.WriteString(w, t.row(target, size, rounds)); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
	}
	return nil
}

// row is one line of a table.
func (t table) row(target, size string, rounds []result) string {
	bad := 0
	for _, r := range rounds {
		bad += r.bad
	}
	cpu, rss := "-", "-"
	if v := medianOf(rounds, cpuOf); v > 0 {
		cpu, rss = strconv.FormatFloat(v, 'f', 1, 64), strconv.FormatFloat(medianOf(rounds, rssOf), 'f', 0, 64)
	}
	structs := "-" // what parses nothing is not compared with what does
	if strings.Contains(target, "-grpc-tables") {
		structs = ratioText(t.ratios(target, "grpc-struct", size))
	}
	return fmt.Sprintf("| %s | %.0f | %.2f | %.2f | %s | %s | %s | %s | %s | %d |\n", target,
		medianOf(rounds, rateOf), medianOf(rounds, p50Of), medianOf(rounds, p99Of), cpu,
		ratioText(t.ratios(target, peerOf(target, "reverseproxy"), size)), ratioText(t.ratios(target, peerOf(target, "nginx"), size)), structs, rss, bad)
}

func rateOf(r *result) float64 { return r.rate }
func p50Of(r *result) float64  { return r.p50 }
func p99Of(r *result) float64  { return r.p99 }
func cpuOf(r *result) float64  { return r.cpu }
func rssOf(r *result) float64  { return r.rss }

// medianOf is the median of a value over rounds.
func medianOf(rounds []result, value func(*result) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = value(&rounds[i])
	}
	return median(values)
}

// ratioText is the median of ratios, with the least and the most where there are several.
func ratioText(ratios []float64) string {
	switch len(ratios) {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf("%.3g", ratios[0])
	}
	return fmt.Sprintf("%.3g (%.3g to %.3g)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/amlgate/amlgate/cmd/internal/load"
	"github.com/amlgate/amlgate/server/redact"
)

// benchReport is the report as --format json prints it.
type benchReport struct {
	Seconds        float64        `json:"seconds"`
	Calls          int            `json:"calls"`
	Good           int            `json:"good"`
	CallsPerSecond float64        `json:"calls_per_second"`
	P50            float64        `json:"p50_ms"`
	P90            float64        `json:"p90_ms"`
	P99            float64        `json:"p99_ms"`
	P999           float64        `json:"p99_9_ms"`
	Max            float64        `json:"max_ms"`
	Sent           int64          `json:"bytes_sent"`
	Received       int64          `json:"bytes_received"`
	Wrong          int            `json:"wrong_answers"`
	Unfinished     int            `json:"unfinished"`
	Behind         int            `json:"due_and_not_sent"`
	Failures       []benchFailure `json:"failures"`
	CPU            *float64       `json:"cpu_us_per_call,omitempty"`
	RSS            *int64         `json:"rss_bytes,omitempty"`
}

// benchFailure is one kind of failure.
type benchFailure struct {
	Kind   string `json:"kind"`
	Count  int    `json:"count"`
	Detail string `json:"detail,omitempty"`
}

// newBenchReport rounds nothing but the times, to microseconds.
func newBenchReport(plan load.Plan, r *load.Report) benchReport {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := benchReport{
		Seconds: ms(r.Elapsed) / 1000, Calls: r.Calls, Good: r.Good, CallsPerSecond: r.Rate,
		P50: ms(r.Quantile(0.5)), P90: ms(r.Quantile(0.9)), P99: ms(r.Quantile(0.99)), P999: ms(r.Quantile(0.999)), Max: ms(r.Max()),
		Sent: r.Sent, Received: r.Received, Wrong: r.Wrong, Unfinished: r.Unfinished, Behind: r.Behind, Failures: []benchFailure{},
	}
	for _, f := range r.Failures {
		out.Failures = append(out.Failures, benchFailure{f.Kind, f.Count, redact.String(f.Detail)})
	}
	if len(plan.PIDs) > 0 {
		cpu := r.CPUPerCall()
		out.CPU, out.RSS = &cpu, &r.RSS
	}
	return out
}

// printReport prints a report; title says what was called.
func printReport(w io.Writer, format, title string, plan load.Plan, r *load.Report) error {
	report := newBenchReport(plan, r)
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(report)
	case "tsv":
		_, err := io.WriteString(w, report.tsv())
		return err
	}
	_, err := io.WriteString(w, report.text(title, plan, r))
	return err
}

// text is the report for people.
func (b *benchReport) text(title string, plan load.Plan, r *load.Report) string {
	var s strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&s, "%-12s"+format+"\n", append([]any{name}, args...)...)
	}
	line("load", "%s", title)
	if plan.Rate > 0 {
		line("", "%.6g calls due a second, latency counted from then", plan.Rate)
	}
	line("calls", "%d in %.2f s, %d with a good answer: %.1f/s", b.Calls, b.Seconds, b.Good, b.CallsPerSecond)
	line("latency ms", "p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", millis(r.Quantile(0.5)), millis(r.Quantile(0.9)), millis(r.Quantile(0.99)), millis(r.Quantile(0.999)), millis(r.Max()))
	calls := max(1, b.Calls)
	line("bytes", "%s sent and %s received a call", bytesText(int(b.Sent)/calls), bytesText(int(b.Received)/calls))
	if b.CPU != nil {
		line("CPU", "%.1f us a call", *b.CPU)
		line("memory", "%.1f MiB resident at most", float64(*b.RSS)/(1<<20))
	}
	if b.Behind > 0 {
		line("not kept up", "%d calls were due and not sent when the time was up, %s ms late at most: %d calls at a time were under way", b.Behind, millis(r.Latest), plan.Concurrency)
	}
	if b.Unfinished > 0 {
		line("given up", "%d calls under way when the load was ended", b.Unfinished)
	}
	line("failed", "%d, of them %d with an answer that was not whole or not what was asked for", b.Calls-b.Good, b.Wrong)
	for _, f := range b.Failures {
		line("", "%d x %s", f.Count, strings.TrimSuffix(f.Kind+": "+f.Detail, ": "))
	}
	return s.String()
}

// tsv is a line of names and a line of values.
func (b *benchReport) tsv() string {
	names := []string{"seconds", "calls", "good", "calls_per_second", "p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms",
		"bytes_sent", "bytes_received", "wrong_answers", "unfinished", "due_and_not_sent", "cpu_us_per_call", "rss_bytes"}
	values := []any{b.Seconds, b.Calls, b.Good, b.CallsPerSecond, b.P50, b.P90, b.P99, b.P999, b.Max, b.Sent, b.Received, b.Wrong, b.Unfinished, b.Behind, "", ""}
	if b.CPU != nil {
		values[len(values)-2], values[len(values)-1] = *b.CPU, *b.RSS
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if f, ok := v.(float64); ok {
			v = strconv.FormatFloat(f, 'f', 3, 64)
		}
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(names, "\t") + "\n" + strings.Join(texts, "\t") + "\n"
}

// millis is a duration in milliseconds, to three digits.
func millis(d time.Duration) string {
	v := float64(d.Microseconds()) / 1000
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// bytesText is a number of bytes for people.
func bytesText(n int) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

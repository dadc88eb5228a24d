package main

import (
	"slices"
	"strings"
	"testing"
)

var sample = []result{
	{target: "reverseproxy", size: "large", concurrency: 32, round: 1, rate: 1000, p50: 10, p99: 20, cpu: 400, rss: 20},
	{target: "reverseproxy", size: "large", concurrency: 32, round: 2, rate: 2000, p50: 20, p99: 40, cpu: 800, rss: 40},
	{target: "reverseproxy", size: "large", concurrency: 32, round: 3, rate: 3000, p50: 30, p99: 50, cpu: 500, rss: 30},
	{target: "reverseproxy-tls", size: "large", concurrency: 32, round: 1, rate: 1000, cpu: 1000},
	{target: "nginx", size: "large", concurrency: 32, round: 2, rate: 1, cpu: 400},
	{target: "nginx", size: "small", concurrency: 32, round: 1, rate: 1, cpu: 1},
	{target: "grpc-struct", size: "large", concurrency: 32, round: 1, rate: 1, cpu: 40000},
	{target: "amlgate", size: "large", concurrency: 32, round: 1, rate: 900, p50: 1.5, p99: 2.25, cpu: 200, rss: 70.26},
	{target: "amlgate", size: "large", concurrency: 32, round: 2, rate: 800, p50: 2.5, p99: 3.25, cpu: 800, rss: 80, bad: 3},
	{target: "amlgate", size: "large", concurrency: 32, round: 3, rate: 700, p50: 3.5, p99: 4.25, cpu: 300, rss: 90},
	{target: "amlgate-grpc-tables", size: "large", concurrency: 32, round: 1, rate: 80, cpu: 4000},
	{target: "amlgate-tls", size: "large", concurrency: 32, round: 1, rate: 80, cpu: 900},
}

func TestResultsSurviveTheFile(t *testing.T) {
	var file strings.Builder
	if err := writeResults(&file, sample); err != nil {
		t.Fatal(err)
	}
	got, err := readResults(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(sample)
	want[7].rss = 70.3 // as the file has it
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if first, _, _ := strings.Cut(file.String(), "\n"); first != strings.Join(columns, "\t") {
		t.Errorf("the first line is %q", first)
	}
}

func TestBadResultsAreRefused(t *testing.T) {
	head := strings.Join(columns, "\t") + "\n"
	for text, want := range map[string]string{
		"":                                      "the first line must be",
		"a\tb\tc\td\te\tf\tg\th\ti\tj\n":        "the first line must be",
		head + "a\ts\t1\t1\t2\n":                "wrong number of fields",
		head + "a\ts\tx\t1\t1\t1\t1\t1\t1\t0\n": "line 2, concurrency",
		head + "a\ts\t1\t1\t1\tx\t1\t1\t1\t0\n": "line 2, p50_ms",
		head + "a\ts\t1\t1\t1\t1\t1\t1\t1\tx\n": "line 2, bad",
	} {
		if _, err := readResults(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 100}, 3.5}} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want || !slices.Equal(before, c.values) {
			t.Errorf("the median of %v is %v", c.values, got)
		}
	}
}

// TestRatiosArePairedPerRound: the median of the rounds' ratios is not the ratio of the medians.
func TestRatiosArePairedPerRound(t *testing.T) {
	all := table{sample}
	if got := all.ratios("amlgate", "reverseproxy", "large"); !slices.Equal(got, []float64{0.5, 1, 0.6}) {
		t.Errorf("ratios are %v", got)
	}
	if got := all.ratios("amlgate", "nginx", "large"); !slices.Equal(got, []float64{2}) {
		t.Errorf("only the second round has both; ratios are %v", got)
	}
	broken := slices.Clone(sample)
	broken[0].rate = 0
	if got := (table{broken}).ratios("amlgate", "reverseproxy", "large"); !slices.Equal(got, []float64{1, 0.6}) {
		t.Errorf("a round without a good answer counts: %v", got)
	}
}

func TestMarkdown(t *testing.T) {
	var out strings.Builder
	if err := (table{sample}).markdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### large\n\n| target | calls/s | p50 ms | p99 ms | CPU us a call | to ReverseProxy | to nginx | to grpc-struct | RSS MiB | bad |\n|---|---|---|---|---|---|---|---|---|---|\n",
		"| amlgate | 800 | 2.50 | 3.25 | 300.0 | 0.6 (0.5 to 1) | 2 | - | 80 | 3 |\n",
		"| amlgate-tls | 80 | 0.00 | 0.00 | 900.0 | 0.9 | - | - | 0 | 0 |\n",
		"| amlgate-grpc-tables | 80 | 0.00 | 0.00 | 4000.0 | 10 | - | 0.1 | 0 | 0 |\n",
		"\n### small\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, out.String())
		}
	}
}

func TestAddedLatency(t *testing.T) {
	at := func(target string, round int, p50, p99 float64) result {
		return result{target: target, size: "small", concurrency: 32, round: round, rate: 1000, p50: p50, p99: p99}
	}
	var out strings.Builder
	all := table{[]result{at("direct", 1, 1, 5), at("direct", 2, 2, 3), at("direct", 3, 1, 1), at("amlgate", 1, 1.5, 4), at("amlgate", 2, 2.25, 4), at("amlgate", 3, 9, 9)}}
	if err := all.added(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| small | direct | 1000 | 1.00 | 3.00 | - | - | 0.0 | 0 |\n| small | amlgate | 1000 | 2.25 | 4.00 | +0.50 | +1.00 | 0.0 | 0 |\n") {
		t.Error(out.String())
	}
}

func TestDecimalTicks(t *testing.T) {
	var labels []string
	for _, tick := range decimalTicks(0.05, 1000) {
		labels = append(labels, tick.Label)
	}
	if got := strings.Join(labels, " "); got != "0.05 0.1 0.2 0.5 1 2 5 10 20 50 100 200 500 1000" {
		t.Errorf("ticks are %s", got)
	}
}

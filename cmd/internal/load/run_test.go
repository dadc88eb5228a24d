package load

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// served is a target whose n-th call, from 0, takes what took says. It ends early with the context.
func served(took func(n int) time.Duration) (*Target, *atomic.Int64) {
	calls := new(atomic.Int64)
	return &Target{call: func(ctx context.Context, _ int) Outcome {
		n := calls.Add(1) - 1
		select {
		case <-time.After(took(int(n))):
			return Outcome{Sent: 10, Received: 20}
		case <-ctx.Done():
			return Outcome{Failure: "given up"}
		}
	}}, calls
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func mustRun(t *testing.T, ctx context.Context, target *Target, plan Plan, watch func(Progress)) *Report {
	t.Helper()
	r, err := Run(ctx, target, plan, watch)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// near reports whether a latency is what is wanted, within the three digits that are kept.
func near(got, want time.Duration) bool { return (got - want).Abs() <= want/500+time.Microsecond }

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, _ := served(func(n int) time.Duration {
			if n >= 80 {
				return 400 * time.Millisecond
			}
			return 100 * time.Millisecond
		})
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 4, Duration: 2 * time.Second}, nil)
		// 4 workers, 10 calls a second each: all 80 in time.
		if r.Calls != 80 || r.Good != 80 || r.Rate != 40 || r.Sent != 800 || r.Received != 1600 || r.Elapsed != 2*time.Second {
			t.Errorf("%+v", r)
		}
		if !near(r.Quantile(0.5), 100*time.Millisecond) || !near(r.Max(), 100*time.Millisecond) {
			t.Errorf("p50 %s, max %s", r.Quantile(0.5), r.Max())
		}
	})
}

// TestCallsUnderWayCount: what is under way when the time is up counts as a call, but not for the rate.
func TestCallsUnderWayCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, _ := served(always(700 * time.Millisecond))
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Duration: time.Second}, nil)
		if r.Good != 2 || r.Rate != 1 || r.Elapsed != 1400*time.Millisecond {
			t.Errorf("%+v", r)
		}
	})
}

func TestRequestsBoundARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, calls := served(always(time.Millisecond))
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 8, Requests: 100}, nil)
		if r.Good != 100 || calls.Load() != 100 || r.Behind != 0 {
			t.Errorf("%d calls: %+v", calls.Load(), r)
		}
	})
}

// TestOpenLoopShowsAStall is what an open loop is for: one call of a second makes the nine behind it late, and all of
// them show. A closed loop would have shown one.
func TestOpenLoopShowsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, _ := served(func(n int) time.Duration {
			if n == 50 {
				return time.Second
			}
			return time.Millisecond
		})
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Rate: 10, Duration: 10 * time.Second}, nil)
		if r.Good != 100 || r.Behind != 0 || r.Rate < 9.9 || r.Rate > 10.1 {
			t.Errorf("%+v", r)
		}
		late := int64(0)
		for _, bar := range r.latency.Distribution() {
			if bar.From > 2*time.Millisecond.Microseconds() {
				late += bar.Count
			}
		}
		if late < 9 || late > 11 || !near(r.Max(), time.Second) || !near(r.Quantile(0.5), time.Millisecond) {
			t.Errorf("%d late calls, p50 %s, max %s", late, r.Quantile(0.5), r.Max())
		}
		if p95 := r.Quantile(0.95); p95 < 400*time.Millisecond || p95 > 600*time.Millisecond {
			t.Errorf("p95 %s; a stall of 1 s in 10 must show there by half", p95)
		}
	})
}

// TestOpenLoopSaysWhatWasNotSent: calls that were due and never sent count with the latency they had.
func TestOpenLoopSaysWhatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, _ := served(always(500 * time.Millisecond))
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Rate: 10, Duration: 5 * time.Second}, nil)
		if r.Good != 10 || r.Behind != 40 || r.Rate != 2 || !near(r.Latest, 4*time.Second) {
			t.Errorf("%+v", r)
		}
		if got := r.latency.TotalCount(); got != 50 {
			t.Errorf("%d latencies for 50 calls", got)
		}
	})
}

func TestTheEndOfTheContextIsAReportSoFar(t *testing.T) {
	for _, rate := range []float64{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2050*time.Millisecond, cancel)
			target, _ := served(func(n int) time.Duration {
				if n >= 15 {
					return time.Hour
				}
				return 100 * time.Millisecond
			})
			r := mustRun(t, ctx, target, Plan{Concurrency: 1, Rate: rate, Duration: time.Hour}, nil)
			if r.Good != 15 || r.Unfinished != 1 || r.Calls != 15 || r.Elapsed != 2050*time.Millisecond {
				t.Errorf("rate %v: %+v", rate, r)
			}
			if want := map[float64]int{0: 0, 10: 5}[rate]; r.Behind != want {
				t.Errorf("rate %v: %d behind, want %d", rate, r.Behind, want)
			}
		})
	}
}

func TestFailuresAreCountedByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		target := &Target{call: func(context.Context, int) Outcome {
			switch n.Add(1) {
			case 1:
				return Outcome{Failure: "HTTP 503", Detail: "first"}
			case 2, 3:
				return Outcome{Failure: "HTTP 429", Detail: "slow down"}
			case 4:
				return Outcome{Failure: "not whole", Wrong: true}
			case 5:
				return Outcome{Failure: "HTTP 503", Detail: "second"}
			case 6:
				return Outcome{Failure: "connection refused", Unanswered: true}
			}
			time.Sleep(time.Millisecond)
			return Outcome{}
		}}
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: 10}, nil)
		want := []Failure{{"HTTP 429", "slow down", 2}, {"HTTP 503", "first", 2}, {"connection refused", "", 1}, {"not whole", "", 1}}
		if !slices.Equal(r.Failures, want) || r.Calls != 10 || r.Good != 4 || r.Wrong != 1 {
			t.Errorf("%+v", r)
		}
		if r.Elapsed != 4*time.Millisecond+pause {
			t.Errorf("%s; an unanswered call is followed by a pause, an answered one is not", r.Elapsed)
		}
		if !near(r.Quantile(0.01), time.Millisecond) {
			t.Error("the latency of a failure counts")
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, _ := served(func(n int) time.Duration {
			if n < 20 {
				return 49 * time.Millisecond
			}
			return 99 * time.Millisecond
		})
		var seconds []Progress
		mustRun(t, t.Context(), target, Plan{Concurrency: 1, Duration: 2500 * time.Millisecond}, func(p Progress) { seconds = append(seconds, p) })
		if len(seconds) != 2 || seconds[0].Rate != 20 || !near(seconds[0].P99, 49*time.Millisecond) || seconds[1].Rate != 10 || !near(seconds[1].P50, 99*time.Millisecond) || seconds[1].Calls != 30 {
			t.Errorf("%+v", seconds)
		}
	})
}

func TestProcessesAreMeasured(t *testing.T) {
	pid := startCat(t)
	var self Target
	self.call = func(context.Context, int) Outcome { return Outcome{} }
	r := mustRun(t, t.Context(), &self, Plan{Concurrency: 1, Requests: 1, PIDs: []int{pid}}, nil)
	if r.RSS <= 0 || r.CPU < 0 {
		t.Errorf("%+v", r)
	}
	if _, err := Run(t.Context(), &self, Plan{Concurrency: 1, Requests: 1, PIDs: []int{1 << 30}}, nil); err == nil {
		t.Error("a process that is not there is no error")
	}
	r = &Report{Calls: 4, CPU: time.Millisecond}
	if r.CPUPerCall() != 250 {
		t.Errorf("%v us a call", r.CPUPerCall())
	}
	if (&Report{CPU: time.Second}).CPUPerCall() != 1e6 {
		t.Error("no calls must not divide by 0")
	}
}

package load

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Outcome is how one call ended. The zero value is a good answer.
type Outcome struct {
	// Failure names what kind of failure it was, for example "HTTP 503", "Unavailable", "not whole"; empty for none.
	Failure string

	// Detail says more about this one.
	Detail string

	// Wrong says that an answer came as a success but was not whole or not what was asked for.
	Wrong bool

	// Unanswered says that no answer came at all.
	Unanswered bool

	// Sent and Received are the bytes of bodies (REST) or messages (gRPC).
	Sent, Received int
}

// Report is what a Run saw.
type Report struct {
	// Elapsed is the time from the first call's beginning to the last one's end.
	Elapsed time.Duration

	// Calls is how many calls ended, Good how many of them with a good answer, Wrong how many with one that was not whole
	// or not what was asked for.
	Calls, Good, Wrong int

	// Rate is good answers a second.
	Rate float64

	// Unfinished is how many calls were given up because the Run was ended. Behind is how many calls of an open loop were
	// due and not sent when the time was up: above 0, the service did not keep up.
	Unfinished, Behind int

	// Latest is by how much the calls in Behind were late at most.
	Latest time.Duration

	// Sent and Received are all bytes of bodies (REST) or messages (gRPC).
	Sent, Received int64

	// Failures are the kinds of failures, the most frequent first.
	Failures []Failure

	// CPU is the user and system time that the processes in Plan.PIDs spent, RSS the most memory they had resident, in
	// bytes. RSS counts pages that processes share once for each.
	CPU time.Duration
	RSS int64

	latency *hdrhistogram.Histogram
}

// Failure is one kind of failure.
type Failure struct {
	// Kind is Outcome.Failure, Detail the first one's.
	Kind, Detail string
	Count        int
}

// Progress is what happened in one second of a Run.
type Progress struct {
	// Elapsed is the time since the Run began.
	Elapsed time.Duration

	// Calls and Failed are how many calls ended since the Run began, and with a failure.
	Calls, Failed int

	// Rate is good answers a second, P50 and P99 their latency, in the last second.
	Rate     float64
	P50, P99 time.Duration
}

// Quantile returns the latency that a share q of the good answers (0 to 1) did not exceed, to three digits; 0 without any.
// In an open loop it includes calls that were due and had no answer when the time was up.
func (r *Report) Quantile(q float64) time.Duration { return quantile(r.latency, q) }

// Max returns the longest latency of those that Quantile counts.
func (r *Report) Max() time.Duration { return time.Duration(r.latency.Max()) * time.Microsecond }

// CPUPerCall returns the processes' CPU time a call, in microseconds.
func (r *Report) CPUPerCall() float64 {
	return float64(r.CPU.Microseconds()) / float64(max(1, r.Calls))
}

// recorder gathers outcomes. Its lock is held for some 100 ns a call, which does not show beside a call.
type recorder struct {
	mu       sync.Mutex
	report   Report
	inTime   int
	failures map[string]*Failure
	latency  *hdrhistogram.Histogram
	recent   *hdrhistogram.Histogram
	recentAt time.Duration
}

func newRecorder() *recorder {
	return &recorder{failures: map[string]*Failure{}, latency: newHistogram(), recent: newHistogram()}
}

// newHistogram counts microseconds up to an hour.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, time.Hour.Microseconds(), 3) }

func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(q*100)) * time.Microsecond
}

// add counts a call that ended; inTime says that it ended before the time was up.
func (r *recorder) add(o Outcome, latency time.Duration, inTime bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Calls++
	r.report.Sent += int64(o.Sent)
	r.report.Received += int64(o.Received)
	if o.Failure != "" {
		if r.failures[o.Failure] == nil {
			r.failures[o.Failure] = &Failure{Kind: o.Failure, Detail: o.Detail}
		}
		r.failures[o.Failure].Count++
		if o.Wrong {
			r.report.Wrong++
		}
		return
	}
	r.report.Good++
	if inTime {
		r.inTime++
	}
	r.count(latency)
	_ = r.recent.RecordValue(micros(latency))
}

// unfinished counts a call that was given up; counted says that its latency so far counts.
func (r *recorder) unfinished(latency time.Duration, counted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Unfinished++
	if counted {
		r.count(latency)
	}
}

// behind counts a call that could not be sent in time.
func (r *recorder) behind(latency time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Behind++
	r.report.Latest = max(r.report.Latest, latency)
	r.count(latency)
}

func (r *recorder) count(latency time.Duration) { _ = r.latency.RecordValue(micros(latency)) }

// micros is a latency as the histograms hold it: whole microseconds, at least 1 and at most an hour.
func micros(d time.Duration) int64 { return min(max(d, time.Microsecond), time.Hour).Microseconds() }

// second returns what happened since it was called last.
func (r *recorder) second(elapsed time.Duration) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{
		Elapsed: elapsed, Calls: r.report.Calls, Failed: r.report.Calls - r.report.Good,
		Rate: float64(r.recent.TotalCount()) / (elapsed - r.recentAt).Seconds(),
		P50:  quantile(r.recent, 0.5), P99: quantile(r.recent, 0.99),
	}
	r.recent.Reset()
	r.recentAt = elapsed
	return p
}

// result returns all that was gathered.
func (r *recorder) result(plan Plan, elapsed time.Duration) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.report
	out.Elapsed, out.latency = elapsed, r.latency
	window := elapsed
	if plan.Duration > 0 {
		window = min(window, plan.Duration)
	}
	if window > 0 {
		out.Rate = float64(r.inTime) / window.Seconds()
	}
	for _, f := range r.failures {
		out.Failures = append(out.Failures, *f)
	}
	slices.SortFunc(out.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return &out
}

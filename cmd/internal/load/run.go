package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Plan says how many calls are made, and when. The zero value of a limit means none; one of Duration and Requests is
// needed.
type Plan struct {
	// Concurrency is how many calls are under way at most; at least 1.
	Concurrency int

	// Rate is how many calls are due a second; 0 is a closed loop.
	Rate float64

	// Duration is for how long calls are begun.
	Duration time.Duration

	// Requests is how many calls are begun.
	Requests int

	// PIDs are processes whose CPU time and memory are read, with their children's. Linux only.
	PIDs []int
}

// pause is how long a worker rests after a call that nobody answered, so that a closed loop does not spin on a dead
// service.
const pause = 20 * time.Millisecond

// coarse is how late a timer of the load may wake a worker that was waiting for its call to be due (Go's are late by up to
// a millisecond on an idle machine): so much is not taken for the service's doing.
const coarse = 2 * time.Millisecond

// Run makes calls as planned and reports on them. When ctx ends, calls under way are given up, and the report is of what
// was done so far. watch, where it is not nil, is called about once a second with what happened in that second. The error
// is that of reading the processes in plan.PIDs.
func Run(ctx context.Context, target *Target, plan Plan, watch func(Progress)) (*Report, error) {
	before, err := readUsage(plan.PIDs)
	if err != nil {
		return nil, err
	}
	r := &run{target: target, plan: plan, start: time.Now(), record: newRecorder()}
	if plan.Rate > 0 {
		r.interval = time.Duration(float64(time.Second) / plan.Rate)
	}
	done := make(chan struct{})
	var aside sync.WaitGroup
	if watch != nil {
		aside.Go(func() { r.tell(watch, done) })
	}
	memory := &peak{pids: plan.PIDs}
	if len(plan.PIDs) > 0 {
		aside.Go(func() { memory.watch(done) })
	}
	if target.abort != nil {
		defer context.AfterFunc(ctx, target.abort)()
	}
	var workers sync.WaitGroup
	for i := range plan.Concurrency {
		workers.Go(func() { r.work(ctx, i) })
	}
	workers.Wait()
	elapsed := time.Since(r.start)
	after, err := readUsage(plan.PIDs)
	close(done)
	aside.Wait()
	if err != nil {
		return nil, err
	}
	report := r.record.result(plan, elapsed)
	report.CPU, report.RSS = after.cpu-before.cpu, max(memory.bytes, after.rss)
	return report, nil
}

// run is one Run.
type run struct {
	target   *Target
	plan     Plan
	start    time.Time
	interval time.Duration
	record   *recorder
	tickets  atomic.Int64
}

// work makes one call after the other.
func (r *run) work(ctx context.Context, worker int) {
	for {
		due, ok := r.next(ctx)
		if !ok {
			return
		}
		outcome := r.target.call(ctx, worker)
		now := time.Now()
		if outcome.Failure != "" && ctx.Err() != nil { // given up, which says nothing about the service
			r.record.unfinished(now.Sub(due), r.interval > 0)
			continue
		}
		r.record.add(outcome, now.Sub(due), r.plan.Duration == 0 || now.Sub(r.start) <= r.plan.Duration)
		if outcome.Unanswered {
			rest(ctx, pause)
		}
	}
}

// next waits until a call is due and returns that moment; false when no more are to be made. The first is always made,
// however late the machine lets it begin.
func (r *run) next(ctx context.Context) (time.Time, bool) {
	for {
		n := r.tickets.Add(1) - 1
		if r.plan.Requests > 0 && n >= int64(r.plan.Requests) {
			return time.Time{}, false
		}
		due := time.Now()
		if r.interval > 0 {
			due = r.start.Add(time.Duration(n) * r.interval)
		}
		bounded := r.plan.Duration > 0 && n > 0
		if bounded && due.Sub(r.start) >= r.plan.Duration {
			return time.Time{}, false
		}
		late := time.Since(due)
		if late < 0 {
			rest(ctx, -late)
			if woke := time.Now(); woke.Sub(due) <= coarse {
				due = woke
			}
		}
		over := bounded && time.Since(r.start) >= r.plan.Duration
		switch {
		case ctx.Err() == nil && !over:
			return due, true
		case late < 0 || r.interval == 0:
			return time.Time{}, false
		}
		// The time was up before this call, long due, could be sent.
		r.record.behind(time.Since(due))
	}
}

// rest sleeps, unless ctx ends before.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tell reports progress until done is closed.
func (r *run) tell(watch func(Progress), done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			watch(r.record.second(time.Since(r.start)))
		case <-done:
			return
		}
	}
}

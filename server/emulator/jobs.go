package emulator

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// maxOpen is how many jobs of a service may be open, that is submitted and
	// not ended. AzureML's limit is not known.
	maxOpen = 10_000

	// maxEnded is how many ended jobs of a service are kept. How long AzureML
	// kept one is not known either.
	maxEnded = 10_000
)

// jobs are the batch jobs of one service.
type jobs struct {
	service *service
	most    int // that run at a time
	runner  *runner

	mu      sync.Mutex
	all     map[string]*job
	waiting []*job // queued, first in first out
	running int    // goroutines; a job that was cancelled counts until its own is gone
	ended   []*job // oldest first
	closed  bool
}

func newJobs(s *service, most int, r *runner) *jobs {
	return &jobs{service: s, most: most, runner: r, all: map[string]*job{}}
}

// submit keeps a new job and returns its id. Nothing runs yet.
func (js *jobs) submit(o order) (id string, p *problem) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.closed || len(js.all)-len(js.ended) >= maxOpen {
		return "", noResources()
	}
	j := &job{id: jobID(), order: o, state: stateNotStarted, created: time.Now()}
	js.all[j.id] = j
	return j.id, nil
}

// start puts a job into the queue.
func (js *jobs) start(id string) *problem {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.all[id]
	switch {
	case j == nil:
		return unknownJob()
	case j.state != stateNotStarted:
		return invalidOperation.because("CannotStartJob", "The job cannot be started because it is in %s state.", j.state)
	case js.closed:
		return noResources()
	}
	j.state = stateQueued
	js.waiting = append(js.waiting, j)
	js.dispatch()
	return nil
}

// ask tells a job's status, as the faults want it told.
func (js *jobs) ask(id string) (status, *problem) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.all[id]
	if j == nil {
		return status{}, unknownJob()
	}
	j.asked++
	faults := js.runner.faults
	if faults.JobLost > 0 && j.asked > faults.JobLost {
		return status{}, unknownJob()
	}
	if faults.JobFlap && j.asked%2 == 0 {
		return j.status().before(), nil
	}
	return j.status(), nil
}

// remove cancels an open job, which stays to be seen as Cancelled, and forgets
// an ended one. AzureML had one operation for both; what a status call
// answered after it is not known.
func (js *jobs) remove(id string) *problem {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.all[id]
	switch {
	case j == nil:
		return unknownJob()
	case j.state.ended():
		js.ended = slices.DeleteFunc(js.ended, func(other *job) bool { return other == j })
		delete(js.all, id)
	default:
		js.waiting = slices.DeleteFunc(js.waiting, func(other *job) bool { return other == j })
		js.end(j, stateCancelled)
	}
	return nil
}

// close cancels the jobs that were started and starts no more.
func (js *jobs) close() {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.closed, js.waiting = true, nil
	for _, j := range js.all {
		if j.state == stateQueued || j.state == stateRunning {
			js.end(j, stateCancelled)
		}
	}
}

// dispatch runs queued jobs as long as there is room. The lock is held.
func (js *jobs) dispatch() {
	for !js.closed && js.running < js.most && len(js.waiting) > 0 {
		j := js.waiting[0]
		js.waiting = slices.Delete(js.waiting, 0, 1)
		js.running++
		var ctx context.Context
		ctx, j.cancel = context.WithCancel(js.runner.ctx)
		js.runner.work.Go(func() {
			f := js.runner.run(ctx, js.service, j.id, j.order, func() { js.begin(j) })
			js.finish(j, f)
		})
	}
}

// begin marks a job as running.
func (js *jobs) begin(j *job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j.state == stateQueued {
		j.state, j.started = stateRunning, time.Now()
	}
}

// finish ends a job whose goroutine is done. One that was cancelled meanwhile
// has ended before.
func (js *jobs) finish(j *job, f *failure) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.running--
	j.cancel()
	j.order.input = location{}
	if !j.state.ended() {
		state := stateFinished
		if f != nil {
			state, j.details = stateFailed, f.details(j.id)
		}
		js.end(j, state)
	}
	js.dispatch()
}

// end gives an open job its last state. The lock is held.
func (js *jobs) end(j *job, last state) {
	j.state, j.ended = last, time.Now()
	if j.cancel != nil {
		j.cancel()
	} else {
		j.order.input = location{} // with a goroutine, which may be reading it, finish does
	}
	js.ended = append(js.ended, j)
	if len(js.ended) > maxEnded {
		delete(js.all, js.ended[0].id)
		js.ended = slices.Delete(js.ended, 0, 1)
	}
	js.runner.logEnd(js.service.id, j)
}

// unknownJob is the problem of an id that no job has, or none has any more.
// The table has no code for it; the class is the one clients look at.
func unknownJob() *problem {
	return notFound.because("JobNotFound", "Job not found. Verify the job Id is correct and try again.")
}

func noResources() *problem {
	return serviceUnavailable.because("NoMoreResources", "No resources available for request.")
}

package emulator

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// runner runs the jobs of all services.
type runner struct {
	storage *storage
	faults  Faults
	log     *slog.Logger

	ctx  context.Context // of every job: jobs outlive the calls that start them
	stop context.CancelFunc
	work sync.WaitGroup
	ran  atomic.Int64 // jobs that began to run
}

func newRunner(s *storage, f Faults, log *slog.Logger) *runner {
	r := &runner{storage: s, faults: f, log: log}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// close ends all jobs and waits for them. No job may be added any more.
func (r *runner) close() {
	r.stop()
	r.work.Wait()
	r.storage.close()
}

// run does what a job's order says. What it returns for a job that was
// cancelled has no meaning.
func (r *runner) run(ctx context.Context, s *service, id string, o order, begin func()) (f *failure) {
	defer func() {
		// A panic here would end the program, not one request as in a handler.
		if p := recover(); p != nil {
			r.log.LogAttrs(ctx, slog.LevelError, "job panicked", slog.String("job", id),
				slog.String("panic", redact(fmt.Sprint(p))), slog.String("stack", string(debug.Stack())))
			f = crashed()
		}
	}()
	if !wait(ctx, r.faults.JobStart) {
		return nil
	}
	begin()
	fails := due(r.ran.Add(1), r.faults.JobFail)
	if !wait(ctx, r.faults.JobRun) {
		return nil
	}
	switch {
	case fails:
		return crashed()
	case r.faults.JobHang:
		<-ctx.Done()
		return nil
	}
	return r.score(ctx, s, o)
}

// score reads, scores and writes.
func (r *runner) score(ctx context.Context, s *service, o order) *failure {
	text, err := r.storage.read(ctx, o.input, maxDataset)
	if err != nil {
		return reading("0030", "Error while downloading the file: %s: %s", cut(o.input.relative), reason(err))
	}
	input, f := s.input.readDataset(text, o.input.separator)
	if f != nil {
		return f
	}
	for i, t := range s.score(input, o.parameters) {
		out := s.outputs[i].appendDataset(nil, t, o.outputs[i].separator)
		if err := r.storage.write(ctx, o.outputs[i], out); err != nil {
			return writing(o.outputs[i], err)
		}
	}
	return nil
}

// logEnd writes the line of a job that ended. Details are not logged: they
// repeat what stands in blobs.
func (r *runner) logEnd(service string, j *job) {
	r.log.LogAttrs(r.ctx, slog.LevelInfo, "job",
		slog.String("service", service),
		slog.String("job", j.id),
		slog.String("state", string(j.state)),
		slog.Duration("took", j.ended.Sub(j.created)))
}

package jobs

import (
	"context"
	"errors"
	"time"
)

// keepChanges is how many of a job's changes are kept for watchers that are behind. A job has three or four.
const keepChanges = 32

// change is one observed change, its number, and that of the job's change before it.
type change struct {
	revision, prev uint64
	job            Job
}

// feed is a job that is watched. The hub's lock guards it, except for the channels.
type feed struct {
	key     Key
	watches map[*Watch]struct{}
	changes []change // the newest last, never empty, without gaps in their numbers

	// changed is closed, and replaced, whenever a watcher has something to look at.
	changed chan struct{}

	ended   EndReason // 0 while there may be more
	message string
	stale   string // why the state may be old; empty while polls succeed

	kicked chan struct{}
	stop   context.CancelFunc
}

func (f *feed) latest() change { return f.changes[len(f.changes)-1] }

// add appends a change and wakes the watchers.
func (f *feed) add(c change) {
	if len(f.changes) == keepChanges {
		f.changes = append(f.changes[:0], f.changes[1:]...)
	}
	f.changes = append(f.changes, c)
	if c.job.State.Ended() {
		f.ended, f.message = EndTerminal, "the job has ended"
		f.stop()
	}
	f.wake()
}

func (f *feed) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// end tells all watchers that there is nothing more to come.
func (f *feed) end(reason EndReason, message string) {
	if f.ended == 0 {
		f.ended, f.message = reason, message
		f.stop()
		f.wake()
	}
}

// kick has the job asked about at once.
func (f *feed) kick() {
	select {
	case f.kicked <- struct{}{}:
	default:
	}
}

// deny ends the watches of one owner.
func (f *feed) deny(owner Owner) {
	for w := range f.watches {
		if w.owner == owner {
			w.lost = true
		}
	}
	f.wake()
}

// pick returns some watcher, with whose credential the next poll is made.
func (f *feed) pick() *Watch {
	for w := range f.watches {
		if !w.lost {
			return w
		}
	}
	return nil
}

// newFeed makes a job's feed and, unless the job has ended, starts polling it. The hub is locked.
func (h *Hub) newFeed(r *record) *feed {
	ctx, stop := context.WithCancel(context.Background())
	f := &feed{
		key: r.job.Key, watches: map[*Watch]struct{}{}, changes: []change{{r.revision, r.prev, r.job}},
		changed: make(chan struct{}), kicked: make(chan struct{}, 1), stop: stop,
	}
	h.feeds[f.key] = f
	if r.job.State.Ended() {
		f.ended, f.message = EndTerminal, "the job has ended"
		stop()
		return f
	}
	h.polls.Go(func() { h.poll(ctx, f) })
	return f
}

// poll asks about a job for as long as its feed lives.
func (h *Hub) poll(ctx context.Context, f *feed) {
	interval := h.cfg.PollMin
	timer := time.NewTimer(jitter(interval, 0.1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.kicked:
			interval = h.cfg.PollMin
		case <-timer.C:
		}
		h.mu.Lock()
		w := f.pick()
		h.mu.Unlock()
		if w == nil {
			// All that is left are watches that lost access and are on their way out.
			timer.Reset(h.cfg.PollMin)
			continue
		}
		job, err := h.ask(ctx, f.key, w.header)
		if ctx.Err() != nil {
			return
		}
		interval = h.polled(f, w, job, err, interval)
		timer.Reset(jitter(interval, 0.1))
	}
}

// polled takes in a poll's outcome and returns how long to wait for the next.
func (h *Hub) polled(f *feed, w *Watch, job Job, err error, interval time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var after RetryAfter
	switch {
	case err == nil:
		before := f.latest().revision
		h.prove(f.key, w.owner)
		h.observe(job)
		if f.latest().revision != before {
			return h.cfg.PollMin
		}
		return min(interval*3/2, h.cfg.PollMax)
	case errors.Is(err, ErrDenied):
		h.disprove(f.key, w.owner)
		f.deny(w.owner)
		return h.cfg.PollMin / 10 // with another's credential, if there is one
	case errors.Is(err, ErrGone):
		delete(h.journal.records, f.key)
		f.end(EndGone, "the upstream does not know the job any more")
		return h.cfg.PollMax
	}
	if f.stale == "" {
		f.stale = "upstream unavailable since " + time.Now().UTC().Format(time.RFC3339)
	}
	if errors.As(err, &after) && after.After() > 0 {
		return max(after.After(), h.cfg.PollMin)
	}
	return min(interval*2, 2*h.cfg.PollMax)
}

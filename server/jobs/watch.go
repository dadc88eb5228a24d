package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"
)

// EndReason is why a watch ends.
type EndReason int

// The reasons.
const (
	EndTerminal   EndReason = iota + 1 // the job has ended, and the watcher has its last state
	EndGone                            // the job was removed
	EndDraining                        // this server stops
	EndDeadline                        // the caller's deadline, or the greatest age of a watch, is near
	EndAccessLost                      // the watcher's credential does not open the job any more
)

// Event is what a watcher is told. Exactly one of Job, Heartbeat and End says something.
type Event struct {
	Cursor  string
	Job     *Job
	Skipped bool // changes between the watcher's cursor and Job were left out

	Heartbeat bool
	Observed  time.Time // when the upstream last confirmed the state
	Stale     string    // why it may be old; empty when it is fresh

	End     EndReason
	Message string
}

// Watch is one watcher of a job. One goroutine at a time may use it.
type Watch struct {
	hub    *Hub
	feed   *feed
	owner  Owner
	header http.Header

	seen       uint64 // the last change told, or known to the caller by a cursor
	introduced bool   // the first event was told
	resumed    bool   // the caller came with a cursor
	lost       bool   // the credential lost the job; guarded by the hub's lock

	asking <-chan singleflight.Result // a question for a new proof that is under way
	asked  bool                       // one was answered since the last sign of life, without a proof

	expires   time.Time
	heartbeat *time.Timer
}

// margin is how long before a caller's deadline a watch ends, so that the caller still gets its cursor.
const margin = time.Second

// Watch opens a watch behind a cursor; an empty one begins with the current state. The job is read with the caller's
// header first, unless it is watched already and the credential opened it not long ago. Errors are ErrCursor, a
// *LimitError, ErrDraining, the context's, and ask's own. The watch must be closed.
func (h *Hub) Watch(ctx context.Context, key Key, header http.Header, cursor string) (*Watch, error) {
	revision, known, err := h.epoch.revision(key, cursor)
	if err != nil {
		return nil, err
	}
	owner := h.Owner(header)
	if err := h.reserve(owner); err != nil {
		return nil, err
	}
	w := &Watch{hub: h, owner: owner, header: header.Clone(), resumed: cursor != "", expires: time.Now().Add(jitter(h.cfg.MaxAge, 0.2))}
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-margin).Before(w.expires) {
		w.expires = deadline.Add(-margin)
	}
	if err := w.join(ctx, key); err != nil {
		h.release(owner)
		return nil, err
	}
	if known && revision <= w.feed.latestRevision(h) {
		w.seen = revision
	}
	w.heartbeat = time.NewTimer(jitter(h.cfg.Heartbeat, 0.1))
	return w, nil
}

// latestRevision is the number of the feed's newest change.
func (f *feed) latestRevision(h *Hub) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return f.latest().revision
}

// join puts the watch on its job's feed.
func (w *Watch) join(ctx context.Context, key Key) error {
	h := w.hub
	h.mu.Lock()
	fresh := h.feeds[key] != nil && h.feeds[key].ended == 0 && h.proven(key, w.owner)
	h.mu.Unlock()
	if !fresh {
		if err := h.read(ctx, key, w.owner, w.header); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return ErrDraining
	}
	r := h.journal.records[key]
	if r == nil || r.revision == 0 {
		return ErrGone // removed in the meantime
	}
	f := h.feeds[key]
	if f == nil || f.ended != 0 && f.ended != EndTerminal {
		f = h.newFeed(r)
	}
	w.feed = f
	f.watches[w] = struct{}{}
	return nil
}

// Close ends the watch; the last one of a job ends its polls.
func (w *Watch) Close() {
	w.heartbeat.Stop()
	h := w.hub
	h.mu.Lock()
	delete(w.feed.watches, w)
	if len(w.feed.watches) == 0 {
		w.feed.stop()
		if h.feeds[w.feed.key] == w.feed {
			delete(h.feeds, w.feed.key)
		}
	}
	h.mu.Unlock()
	h.release(w.owner)
}

// Next waits for the next event. After an event with End there is none. The error is the context's.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		w.hub.mu.Lock()
		proven := w.hub.proven(w.feed.key, w.owner)
		event, ok := w.ready(proven)
		changed, draining := w.feed.changed, w.hub.draining
		w.hub.mu.Unlock()
		if ok {
			w.heartbeat.Reset(jitter(w.hub.cfg.Heartbeat, 0.1))
			return event, nil
		}
		if !proven && w.asking == nil && !w.asked {
			// Ask again with the watcher's own credential; what else than a denial comes back, the heartbeats tell.
			w.asking = w.hub.question(ctx, w.feed.key, w.owner, w.header)
		}
		expired := time.NewTimer(time.Until(w.expires))
		select {
		case a := <-w.asking:
			w.asking, w.asked = nil, a.Err != nil
			if errors.Is(a.Err, ErrDenied) {
				w.hub.mu.Lock()
				w.feed.deny(w.owner)
				w.hub.mu.Unlock()
			}
		case <-changed:
		case <-draining:
		case <-expired.C:
		case <-w.heartbeat.C:
			expired.Stop()
			w.asked = false
			w.heartbeat.Reset(jitter(w.hub.cfg.Heartbeat, 0.1))
			return w.beat(), nil
		case <-ctx.Done():
			expired.Stop()
			return Event{}, ctx.Err()
		}
		expired.Stop()
	}
}

// ready returns the event that the watcher can be told now, if there is one; a state is told on a valid proof only. The
// hub is locked.
func (w *Watch) ready(proven bool) (Event, bool) {
	f := w.feed
	if w.lost {
		return w.end(EndAccessLost, "the credential does not open the job any more"), true
	}
	latest := f.latest()
	pending := latest.revision > w.seen
	if pending && proven {
		next, skipped := w.next(latest)
		w.seen, w.introduced = next.revision, true
		job := next.job
		return Event{Cursor: w.hub.epoch.cursor(f.key, next.revision), Job: &job, Skipped: skipped}, true
	}
	select {
	case <-w.hub.draining:
		return w.end(EndDraining, "this server is stopping; come back with the cursor"), true
	default:
	}
	switch {
	case f.ended != 0 && !(pending && f.ended == EndTerminal):
		return w.end(f.ended, f.message), true
	case !time.Now().Before(w.expires):
		return w.end(EndDeadline, "the watch has reached its deadline or its greatest age; come back with the cursor"), true
	case !w.introduced:
		// The caller has the current state already: a sign of life is all there is to tell.
		w.introduced = true
		return w.beatLocked(), true
	}
	return Event{}, false
}

// next returns the change to tell after those seen, and whether others before it are left out.
func (w *Watch) next(latest change) (change, bool) {
	if w.seen == 0 {
		// Nothing seen, or nothing that can be told from its cursor: begin with what is now.
		return latest, w.resumed && !w.introduced
	}
	for _, c := range w.feed.changes {
		if c.revision > w.seen && c.prev <= w.seen {
			return c, false
		}
	}
	return latest, true
}

func (w *Watch) end(reason EndReason, message string) Event {
	w.introduced = true
	return Event{Cursor: w.hub.epoch.cursor(w.feed.key, w.seen), End: reason, Message: message}
}

func (w *Watch) beat() Event {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return w.beatLocked()
}

func (w *Watch) beatLocked() Event {
	observed := w.feed.latest().job.Observed
	if r := w.hub.journal.records[w.feed.key]; r != nil {
		observed = r.job.Observed
	}
	stale := w.feed.stale
	if stale == "" && w.seen < w.feed.latest().revision {
		stale = "the credential cannot be confirmed"
	}
	return Event{Cursor: w.hub.epoch.cursor(w.feed.key, w.seen), Heartbeat: true, Observed: observed, Stale: stale}
}

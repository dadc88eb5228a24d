package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/amlgate/amlgate/server/store"
)

// EndReason is why a watch ends.
type EndReason int

// The reasons.
const (
	EndTerminal   EndReason = iota + 1 // the job has ended, and the watcher has its last state
	EndGone                            // the job was removed
	EndDraining                        // this server stops, or has lost the store
	EndDeadline                        // the caller's deadline, or the greatest age of a watch, is near
	EndAccessLost                      // the watcher's credential does not open the job any more
)

// Event is what a watcher is told. Exactly one of Job, Heartbeat and End says something.
type Event struct {
	Cursor  string
	Job     *Job  // shared with other watchers: not to be changed
	Memo    *Memo // for what Cursor and Job are turned into; nil where the event is this watcher's alone
	Skipped bool  // changes between the watcher's cursor and Job were left out

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
	recalled   uint64 // the newest change when those before it were last fetched
	introduced bool   // the first event was told
	resumed    bool   // the caller came with a cursor
	lost       bool   // the credential lost the job; guarded by the hub's lock

	asking <-chan singleflight.Result // a question for a new proof that is under way
	asked  bool                       // one was answered since the last sign of life, without a proof

	expires time.Time
	beatAt  time.Time // of the next heartbeat
	timer   *time.Timer
	rings   time.Time // when the timer does, at the sooner of the two or before; zero while it is not set
}

// margin is how long before a caller's deadline a watch ends, so that the caller still gets its cursor.
const margin = time.Second

// Watch opens a watch behind a cursor; an empty one begins with the current state. The job is read with the caller's
// header first, unless it is watched already and the credential opened it not long ago. Errors are ErrCursor, a
// *LimitError, ErrDraining, the context's, the store's, and ask's own. The watch must be closed.
func (h *Hub) Watch(ctx context.Context, key Key, header http.Header, cursor string) (*Watch, error) {
	revision, known, err := h.epoch.revision(key, cursor)
	if err != nil {
		return nil, err
	}
	select {
	case <-h.store.Lost():
		return nil, store.ErrUnavailable
	default:
	}
	if err := h.awaitLoaded(ctx); err != nil {
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
	if known {
		if revision > w.feed.latestRevision(h) { // another replica was ahead of this one
			_ = h.catchUp(ctx)
		}
		if revision <= w.feed.latestRevision(h) {
			w.seen = revision
			h.recall(ctx, w.feed, revision)
		}
	}
	w.beatAt = time.Now().Add(jitter(h.cfg.Heartbeat, 0.1))
	w.rings = w.sooner()
	w.timer = time.NewTimer(time.Until(w.rings))
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
	e, f := h.index.entries[key], h.feeds[key]
	fresh := e != nil && e.Job.State != 0 && (h.upstream.Managed || f != nil && f.ended == 0 && h.proven(key, w.owner))
	h.mu.Unlock()
	if !fresh {
		if err := h.read(ctx, key, w.owner, w.header); err != nil {
			return err
		}
	}
	if h.upstream.Managed {
		h.want(key)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return ErrDraining
	}
	if e = h.index.entries[key]; e == nil || e.Job.State == 0 {
		if full := h.crowded(); full != nil {
			return full // no room to begin with
		}
		return ErrGone // removed in the meantime
	}
	if f = h.feeds[key]; f == nil || f.ended != 0 && f.ended != EndTerminal {
		f = h.newFeed(e)
	}
	w.feed = f
	f.watches[w] = struct{}{}
	switch {
	case f.ended != 0 || f.place >= 0 || f.asking:
	case !h.upstream.Managed:
		h.at(f, time.Now().Add(jitter(f.interval, 0.1)))
	case time.Since(e.asked) > h.cfg.PollMin: // until the queue comes round
		h.kick(f)
	}
	return nil
}

// Close ends the watch; the last one of a job ends its polls.
func (w *Watch) Close() {
	w.timer.Stop()
	h := w.hub
	h.mu.Lock()
	delete(w.feed.watches, w)
	if len(w.feed.watches) == 0 {
		h.settle(w.feed)
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
		if latest := w.feed.latest().revision; w.gap() && w.recalled != latest {
			w.hub.mu.Unlock()
			w.recalled = latest
			w.hub.recall(ctx, w.feed, w.seen)
			continue
		}
		proven := w.hub.proven(w.feed.key, w.owner)
		event, ok := w.ready(proven)
		changed, lost := w.feed.changed, w.hub.store.Lost()
		w.hub.mu.Unlock()
		if ok {
			w.beatAt = time.Now().Add(jitter(w.hub.cfg.Heartbeat, 0.1))
			return event, nil
		}
		if !proven && w.asking == nil && !w.asked {
			// Ask again with the watcher's own credential; what else than a denial comes back, the heartbeats tell.
			w.asking = w.hub.question(ctx, w.feed.key, w.owner, w.header)
		}
		w.ring()
		select {
		case a := <-w.asking:
			w.asking, w.asked = nil, a.Err != nil
			if errors.Is(a.Err, ErrDenied) {
				w.hub.mu.Lock()
				w.feed.deny(w.owner)
				w.hub.mu.Unlock()
			}
		case <-changed:
		case <-lost:
		case now := <-w.timer.C:
			w.rings = time.Time{}
			if !now.Before(w.beatAt) && now.Before(w.expires) {
				w.asked = false
				w.beatAt = now.Add(jitter(w.hub.cfg.Heartbeat, 0.1))
				return w.beat(), nil
			}
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// sooner is when the watch has something to do of itself.
func (w *Watch) sooner() time.Time {
	if w.expires.Before(w.beatAt) {
		return w.expires
	}
	return w.beatAt
}

// ring sets the timer. One that rings too early is left alone: each change puts off the next heartbeat.
func (w *Watch) ring() {
	if at := w.sooner(); w.rings.IsZero() || at.Before(w.rings) {
		w.rings = at
		w.timer.Reset(time.Until(at))
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
		memo := next.memo
		if skipped {
			memo = nil
		}
		return Event{Cursor: next.cursor, Job: next.job, Memo: memo, Skipped: skipped}, true
	}
	switch {
	case w.hub.stopped:
		return w.end(EndDraining, "this server is stopping; come back with the cursor"), true
	case f.ended != 0 && !(pending && f.ended == EndTerminal):
		return w.end(f.ended, f.message), true
	}
	select {
	case <-w.hub.store.Lost():
		// News would not come here. Other replicas may have them.
		return w.end(EndDraining, "this server has lost its journal; come back with the cursor"), true
	default:
	}
	switch {
	case !time.Now().Before(w.expires):
		return w.end(EndDeadline, "the watch has reached its deadline or its greatest age; come back with the cursor"), true
	case !w.introduced:
		// The caller has the current state already: a sign of life is all there is to tell.
		w.introduced = true
		return w.beatLocked(), true
	}
	return Event{}, false
}

// gap reports whether the feed lacks the change that comes after those seen. The hub is locked.
func (w *Watch) gap() bool {
	first := w.feed.changes[0]
	return w.seen != 0 && first.prev > w.seen && !w.feed.bare && len(w.feed.changes) < keepChanges
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
	if e := w.hub.index.entries[w.feed.key]; e != nil && e.observed.After(observed) {
		observed = e.observed
	}
	stale := w.feed.stale
	switch {
	case stale != "":
	case !w.hub.store.Ready():
		stale = "the journal does not answer"
	case w.seen < w.feed.latest().revision:
		stale = "the credential cannot be confirmed"
	}
	return Event{Cursor: w.hub.epoch.cursor(w.feed.key, w.seen), Heartbeat: true, Observed: observed, Stale: stale}
}

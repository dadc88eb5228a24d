package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// keepChanges is how many of a job's changes are kept for watchers that are behind. A job has three or four.
const keepChanges = 16

// change is one observed change, its number, and that of the job's change before it. All who are told share it.
type change struct {
	revision, prev uint64
	job            *Job // never changed
	cursor         string
	memo           *Memo
}

func (h *Hub) change(revision, prev uint64, job *Job) change {
	return change{revision, prev, job, h.epoch.cursor(job.Key, revision), &Memo{}}
}

// feed is a job that is watched. The hub's lock guards it, except for the channel.
type feed struct {
	key     Key
	watches map[*Watch]struct{}
	changes []change  // the newest last, never empty, without gaps in their numbers
	bare    bool      // the store has nothing from before the first of them
	unread  time.Time // when the store last did not answer what there was before them

	// changed is closed, and replaced, whenever a watcher has something to look at.
	changed chan struct{}

	ended   EndReason // 0 while there may be more
	message string
	stale   string // why the state may be old; empty while polls succeed

	// The scheduler's: when to ask next, how long after that, where in the schedule (-1: not there), whether a question is
	// under way, and whether another is to follow it at once.
	due      time.Time
	interval time.Duration
	place    int
	asking   bool
	kicked   bool
}

func (f *feed) latest() change { return f.changes[len(f.changes)-1] }

// add appends a change and wakes the watchers. Where changes before it were not heard of here, because another replica
// made them and news of it came sooner by a refused write, the list begins anew; recall fetches them.
func (f *feed) add(c change) {
	if c.prev != f.latest().revision {
		f.changes, f.bare = f.changes[:0:0], false
	}
	if len(f.changes) == keepChanges {
		f.changes = append(f.changes[:0], f.changes[1:]...)
	}
	f.changes = append(f.changes, c)
	if c.job.State.Ended() {
		f.ended, f.message = EndTerminal, endedMessage
	}
	f.wake()
}

const endedMessage = "the job has ended"

func (f *feed) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// end tells all watchers that there is nothing more to come.
func (f *feed) end(reason EndReason, message string) {
	if f.ended == 0 {
		f.ended, f.message = reason, message
		f.wake()
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

// newFeed makes a job's feed and puts it on the schedule, unless the job has ended. The hub is locked.
func (h *Hub) newFeed(e *entry) *feed {
	job := e.job()
	f := &feed{
		key: e.Job.Key, watches: map[*Watch]struct{}{}, changes: []change{h.change(e.change(), e.Prev, &job)},
		changed: make(chan struct{}), stale: e.stale, interval: h.cfg.PollMin, place: -1,
	}
	h.feeds[f.key] = f
	if e.Job.State.Ended() {
		f.ended, f.message = EndTerminal, endedMessage
	}
	return f
}

// recall fetches a feed's changes of before its first, back to the one after seen, as far as the store has them.
func (h *Hub) recall(ctx context.Context, f *feed, seen uint64) {
	began := time.Now()
	release, err := h.locks.take(ctx, "recall "+h.names.of(f.key)) // once for all watchers
	if err != nil {
		return
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	for {
		h.mu.Lock()
		first, full := f.changes[0], len(f.changes) >= keepChanges || f.bare || f.unread.After(began)
		h.mu.Unlock()
		if full || first.prev <= seen {
			return
		}
		e, err := h.journal.Revision(ctx, h.names.of(f.key), first.prev)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			h.mu.Lock()
			f.unread = time.Now() // those who waited meanwhile need not wait as long again
			h.mu.Unlock()
			return // not to be had now: what is left out is told
		}
		var r *record
		if err == nil {
			r, err = decode(f.key, e.Value)
		}
		h.mu.Lock()
		switch {
		case f.changes[0].revision != first.revision:
		case err != nil:
			f.bare = true
		default:
			f.changes = append([]change{h.change(first.prev, r.Prev, &r.Job)}, f.changes...)
		}
		h.mu.Unlock()
	}
}

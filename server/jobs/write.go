package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// apply takes a record of the store into the index and tells watchers what it changed. It may come twice, once from the
// one who wrote it and once from the store, and the two may overtake each other.
func (h *Hub) apply(e store.Entry) {
	key, ok := h.names.key(e.Key)
	if !ok {
		return
	}
	var r *record
	if !e.Deleted {
		var err error
		if r, err = decode(key, e.Value); err != nil {
			h.log.Error("a record is passed over", "record", e.Key, "revision", e.Revision, "error", err)
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Deleted {
		if f := h.feeds[key]; h.index.remove(key, e.Revision) && f != nil {
			f.end(EndGone, goneMessage)
		}
		return
	}
	h.take(key, r, e.Revision, e.Written)
}

const goneMessage = "the upstream does not know the job any more"

// take puts a record into the index and wakes its watchers. The hub is locked.
func (h *Hub) take(key Key, r *record, revision uint64, written time.Time) {
	var before phase
	if e := h.index.entries[key]; e != nil {
		before = e.Start.Phase
	}
	e := h.index.put(key, r, revision, written)
	f := h.feeds[key]
	if e == nil || f == nil {
		return
	}
	if c := e.change(); c > f.latest().revision && e.Job.State != 0 {
		job := e.job()
		f.add(h.change(c, e.Prev, &job))
		h.settle(f)
	}
	if before != accepted && e.Start.Phase == accepted {
		h.kick(f)
	}
}

// write makes one compare-and-set of a job's record and takes the outcome in. The error is store.ErrConflict where the
// record is not the one at revision last any more; the index has the later one then.
func (h *Hub) write(ctx context.Context, patience time.Duration, key Key, r *record, last uint64) error {
	name, value := h.names.of(key), r.encode(h.journal.MaxValue())
	var revision uint64
	var err error
	if last == 0 {
		revision, err = h.journal.Create(ctx, patience, name, value)
	} else {
		revision, err = h.journal.Update(ctx, patience, name, value, last)
	}
	if err != nil {
		return h.refused(ctx, key, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	stored, err := decode(key, value) // a copy that nobody else holds, as every other replica sees it
	if err == nil {
		h.take(key, stored, revision, time.Now())
	}
	return err
}

// refused brings the index up to date after a conflict.
func (h *Hub) refused(ctx context.Context, key Key, err error) error {
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	latest, got := h.journal.Get(ctx, h.names.of(key))
	switch {
	case got == nil:
		h.apply(latest)
	case errors.Is(got, store.ErrNotFound):
		h.mu.Lock()
		if e := h.index.entries[key]; e != nil {
			h.index.remove(key, e.revision+1)
		}
		h.mu.Unlock()
	default:
		return got
	}
	return err
}

// update changes a job's record by change, which is given a copy of what is there, an empty one with found false where
// there is none, and returns whether to write it. It is called again after each conflict.
func (h *Hub) update(ctx context.Context, patience time.Duration, key Key, change func(r *record, found bool) bool) error {
	for range maxConflicts {
		r, last := h.copy(key)
		if !change(&r, last != 0) {
			return nil
		}
		if err := h.write(ctx, patience, key, &r, last); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errConflicts
}

// maxConflicts is how often a write is tried against others'. A record that cannot be read would conflict for ever.
const maxConflicts = 64

var errConflicts = fmt.Errorf("%w: it changes all the time, or its record cannot be read", store.ErrUnavailable)

// copy returns a job's record and its revision, 0 where there is none.
func (h *Hub) copy(key Key) (record, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.index.entries[key]
	if e == nil {
		return record{Job: Job{Key: key}}, 0
	}
	r := e.record
	if r.Job.State != 0 {
		r.Change = e.change() // carried on, unless what comes is a change
	}
	return r, e.revision
}

// changed makes a record one of a change of the job.
func (r *record) changed(to Job) {
	r.Prev, r.Change = r.Change, 0
	if to.Created.IsZero() {
		to.Created = r.Job.Created
	}
	r.Job = to
}

// Keep writes down a job that was just created, before its id is told to anybody. Request is the key of the request id
// that it was asked for with, or empty. Errors are the store's.
func (h *Hub) Keep(ctx context.Context, key Key, owner Owner, request string) error {
	now := time.Now()
	return h.update(ctx, keepFor, key, func(r *record, found bool) bool {
		if found && r.Owned && r.Owner == owner && r.Request == request && request != "" {
			return false
		}
		r.Owner, r.Owned, r.Submitted, r.Request = owner, true, now, request
		if r.Job.State == 0 {
			r.changed(Job{Key: key, State: NotStarted, Word: "NotStarted", Created: now})
		}
		return true
	})
}

// observe takes in what the upstream answered and writes it down if it tells anything new. A job that was not known is
// adopted: whoever brings its state has proven access to it.
func (h *Hub) observe(ctx context.Context, patience time.Duration, job Job) error {
	return h.update(ctx, patience, job.Key, func(r *record, found bool) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		e := h.index.entries[job.Key]
		if f := h.feeds[job.Key]; f != nil {
			f.stale = ""
		}
		if e == nil {
			r.changed(job)
			late := !job.Asked.IsZero() && job.Asked.Before(h.index.gone[job.Key].at)
			return !found && !late && h.crowded() == nil
		}
		if !h.news(e, &job) {
			return false
		}
		r.changed(job)
		return true
	})
}

// maxAdopted bounds the jobs taken in that were not submitted here, so that who watches whatever the upstream has cannot
// fill the journal: with a few changes each they take a third of its bucket.
const maxAdopted = 200_000

// crowded returns why no further job can be taken in that was not submitted here, nil where one can. The hub is locked.
func (h *Hub) crowded() error {
	if full := h.store.Full(); full != nil {
		return full
	}
	if h.index.adopted >= maxAdopted {
		return fmt.Errorf("%w: %d jobs that were not submitted through this service are known already; they are forgotten %s after their last change",
			store.ErrFull, maxAdopted, store.JobsAge)
	}
	return nil
}

// news decides whether an answer changes what is known of a job, and notes when it was confirmed. The hub is locked.
func (h *Hub) news(e *entry, job *Job) bool {
	// A job only moves forward. An answer that says otherwise was overtaken by another on its way here, or the upstream
	// wavers; either would show watchers a job that runs again.
	if job.State.rank() < e.Job.State.rank() {
		return false
	}
	// Of two answers that overlap in time nobody knows which is the older; only one that moves the job on is taken.
	if job.State.rank() == e.Job.State.rank() && !e.observed.IsZero() && !job.Asked.IsZero() && job.Asked.Before(e.observed) {
		return false
	}
	if e.Job.same(job) {
		if job.Observed.After(e.observed) {
			e.observed = job.Observed
		}
		return false
	}
	return !e.Job.State.Ended() // else it has ended and was told so
}

// Observed takes in what the upstream just told a caller of a job, so that the list is right and watchers need not wait
// for the next poll.
func (h *Hub) Observed(ctx context.Context, job Job) {
	own, cancel := brief(ctx)
	defer cancel()
	if err := h.observe(own, observeFor, job); err != nil {
		h.log.Warn("an observation was not written down", "error", err)
	}
}

// forget removes a job's record.
func (h *Hub) forget(ctx context.Context, patience time.Duration, key Key) error {
	for range maxConflicts {
		h.mu.Lock()
		e := h.index.entries[key]
		f := h.feeds[key]
		var last uint64
		if e != nil {
			last = e.revision
		}
		if e == nil && f != nil {
			f.end(EndGone, goneMessage)
		}
		h.mu.Unlock()
		if e == nil {
			return nil
		}
		err := h.journal.Delete(ctx, patience, h.names.of(key), last)
		if err == nil {
			h.mu.Lock()
			h.index.remove(key, last+1)
			if f := h.feeds[key]; f != nil {
				f.end(EndGone, goneMessage)
			}
			h.mu.Unlock()
			return nil
		}
		if err = h.refused(ctx, key, err); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errConflicts
}

// Gone takes in that the upstream told a caller that it knows no such job. One who never showed access to the job does
// not take it from its owner.
func (h *Hub) Gone(ctx context.Context, key Key, owner Owner) {
	h.mu.Lock()
	e := h.index.entries[key]
	believed := h.upstream.Managed || e == nil || !e.Owned || e.Owner == owner || h.proven(key, owner)
	h.mu.Unlock()
	if !believed {
		return
	}
	own, cancel := brief(ctx)
	defer cancel()
	if err := h.forget(own, observeFor, key); err != nil {
		h.log.Warn("a removed job stays in the journal for now", "error", err)
	}
}

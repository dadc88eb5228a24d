package jobs

import (
	"container/heap"
	"errors"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// schedule is the watched jobs by when they are to be asked about: a heap, the next one first.
type schedule []*feed

// Len, Less, Swap, Push and Pop are heap.Interface.
func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

// Push adds a feed.
func (s *schedule) Push(x any) {
	f := x.(*feed)
	f.place = len(*s)
	*s = append(*s, f)
}

// Pop takes the last one.
func (s *schedule) Pop() any {
	old := *s
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	f.place = -1
	return f
}

// at has a feed asked about at a time, unless it is being asked about: then it is once that is over, at due.
func (h *Hub) at(f *feed, due time.Time) {
	f.due = due
	switch {
	case f.asking || f.ended != 0 || len(f.watches) == 0:
		return
	case f.place >= 0:
		heap.Fix(&h.due, f.place)
	default:
		heap.Push(&h.due, f)
	}
	if h.due[0] == f {
		h.rouse()
	}
}

// settle takes a feed that has ended off the schedule.
func (h *Hub) settle(f *feed) {
	if f.place >= 0 && (f.ended != 0 || len(f.watches) == 0) {
		heap.Remove(&h.due, f.place)
	}
}

// kick has a job asked about at once.
func (h *Hub) kick(f *feed) {
	f.kicked = true
	f.interval = h.cfg.PollMin
	h.at(f, time.Now())
}

func (h *Hub) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// dispatch asks about each watched job when it is due, at most MaxPolls at a time.
func (h *Hub) dispatch() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		h.mu.Lock()
		next := h.askDue(time.Now())
		h.mu.Unlock()
		timer.Reset(next)
		select {
		case <-h.draining:
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// askDue starts what is due and returns how long the next one has. The hub is locked.
func (h *Hub) askDue(now time.Time) time.Duration {
	for len(h.due) > 0 && h.asking < h.cfg.MaxPolls && !h.stopped {
		f := h.due[0]
		if f.due.After(now) {
			return f.due.Sub(now)
		}
		heap.Pop(&h.due)
		if f.ended != 0 || len(f.watches) == 0 {
			continue
		}
		w := f.pick()
		if w == nil {
			// All that is left are watches that lost access and are on their way out.
			f.due = now.Add(h.cfg.PollMin)
			heap.Push(&h.due, f)
			continue
		}
		h.asking++
		f.asking, f.kicked = true, false
		h.work.Go(func() { h.poll(f, w) })
	}
	return time.Hour // or until roused
}

// poll asks about one watched job and puts it back on the schedule.
func (h *Hub) poll(f *feed, w *Watch) {
	job, err := h.upstream.Ask(h.ctx, f.key, w.header)
	next := time.Duration(0)
	if h.ctx.Err() == nil {
		next = h.polled(f, w, job, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking--
	f.asking = false
	due := time.Now().Add(jitter(next, 0.1))
	switch {
	case f.kicked:
		due = time.Now()
	case next == 0 || h.upstream.Managed: // the queue comes round
		h.rouse()
		return
	}
	h.at(f, due)
	h.rouse() // there is room for another question
}

// polled takes in a poll's outcome and returns how long to wait for the next, 0 for ever.
func (h *Hub) polled(f *feed, w *Watch, job Job, err error) time.Duration {
	var after RetryAfter
	switch {
	case err == nil:
		h.mu.Lock()
		before := f.latest().revision
		h.prove(f.key, w.owner)
		h.mu.Unlock()
		h.seenJob(f.key, job)
		if err := h.observe(h.ctx, keepFor, job); err != nil {
			h.doubt(f.key, "the journal does not answer since ")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.interval = min(f.interval*3/2, h.cfg.PollMax); f.latest().revision != before {
			f.interval = h.cfg.PollMin
		}
		return f.interval
	case errors.Is(err, ErrDenied):
		h.mu.Lock()
		defer h.mu.Unlock()
		h.disprove(f.key, w.owner)
		f.deny(w.owner)
		return max(h.cfg.PollMin/10, time.Millisecond) // with another's credential, if there is one
	case errors.Is(err, ErrGone):
		if err := h.forget(h.ctx, keepFor, f.key); err != nil {
			h.log.Warn("a removed job stays in the journal for now", "error", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		f.end(EndGone, goneMessage)
		return 0
	}
	h.doubt(f.key, "upstream unavailable since ")
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.interval = min(f.interval*2, 2*h.cfg.PollMax); errors.As(err, &after) && after.After() > 0 {
		return max(after.After(), h.cfg.PollMin)
	}
	return f.interval
}

// tend looks after what time does to the journal.
func (h *Hub) tend() {
	minute := time.NewTicker(jitter(time.Minute, 0.2))
	defer minute.Stop()
	for n := 0; ; {
		select {
		case <-h.draining:
			return
		case <-h.missed:
			select {
			case <-h.draining:
				return
			case <-time.After(refillAfter):
			}
			h.refill()
			continue
		case <-minute.C:
		}
		if h.upstream.Managed {
			h.refill()
		}
		if n++; n%60 == 0 {
			h.expire()
		}
	}
}

// rewriteAfter is the age at which a record of a job that still runs is written again, since records go after a month.
const rewriteAfter = 7 * 24 * time.Hour

// expire drops from the index what the store has dropped, and writes again what is still wanted.
func (h *Hub) expire() {
	now := time.Now()
	var live []Key
	h.mu.Lock()
	for key, e := range h.index.entries {
		age := now.Sub(e.written)
		switch watched := h.feeds[key] != nil; {
		case age >= store.JobsAge:
			h.index.drop(e)
		case age >= rewriteAfter && !e.Job.State.Ended() && (watched || h.upstream.Managed && e.moving()):
			live = append(live, key)
		}
		if e.Request != "" && now.Sub(e.Submitted) >= store.RequestsAge && h.index.request[e.Request] == key {
			delete(h.index.request, e.Request)
		}
	}
	if len(h.index.gone) > 10_000 {
		clear(h.index.gone) // a late record of one of these would have to be as old as an hour
	}
	h.mu.Unlock()
	for _, key := range live {
		err := h.update(h.ctx, observeFor, key, func(_ *record, found bool) bool { return found })
		if err != nil {
			h.log.Warn("a running job's record was not written again", "error", err)
		}
	}
}

// moving reports whether a job was started and has not ended.
func (e *entry) moving() bool {
	return !e.Job.State.Ended() && (e.Job.State == Running || e.Start.Phase != 0)
}

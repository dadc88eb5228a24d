package jobs

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// In managed mode every job that was started is polled until it ends, watched or not, and any replica can do it. A queue
// in the store says which one does: it hands a job out again and again, each time to some replica, after the steps
// between PollMin and PollMax. What one replica hears upstream it says to all; that may be lost, and costs a poll then.

// How often a job is asked about that nobody watches, and how long another replica's interest in one counts.
const (
	unwatchedEvery = time.Minute
	interestFor    = 3 * time.Minute
)

// Topics of what replicas tell each other.
const (
	topicSeen   = "seen"
	topicWanted = "wanted"
)

// notice is what they tell.
type notice struct {
	From     string `json:"from"`
	Job      string `json:"job"` // its name in the store
	Observed int64  `json:"obs,omitempty"`
	Stale    string `json:"stale,omitempty"`
}

// manage joins the replicas that share the polling.
func (h *Hub) manage() error {
	var steps []time.Duration
	for d := h.cfg.PollMin; len(steps) < 16; d *= 2 {
		if d >= h.cfg.PollMax {
			steps = append(steps, h.cfg.PollMax)
			break
		}
		steps = append(steps, d)
	}
	var err error
	if h.queue, err = h.store.OpenQueue(h.ctx, steps); err != nil {
		return err
	}
	for topic, hear := range map[string]func(notice, Key){topicSeen: h.hearSeen, topicWanted: h.hearWanted} {
		stop, err := h.store.Hear(topic, func(data []byte) {
			var n notice
			if json.Unmarshal(data, &n) != nil || n.From == h.instance {
				return
			}
			if key, ok := h.names.key(n.Job); ok {
				hear(n, key)
			}
		})
		if err != nil {
			return err
		}
		h.work.Go(func() {
			<-h.draining
			stop()
		})
	}
	taken, err := h.queue.Take(h.ctx, h.delivered, h.refillSoon)
	if err != nil {
		return err
	}
	h.work.Go(func() { <-taken })
	h.work.Go(func() {
		if h.awaitLoaded(h.ctx) == nil {
			h.refill()
		}
	})
	return nil
}

func (h *Hub) say(topic string, n notice) {
	n.From = h.instance
	b, _ := json.Marshal(n)
	h.store.Say(topic, b)
}

func (h *Hub) hearSeen(n notice, key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.index.entries[key]; e != nil {
		e.asked, e.stale = time.Now(), n.Stale
		if at := timeOf(n.Observed); at.After(e.observed) {
			e.observed = at
		}
	}
	if f := h.feeds[key]; f != nil {
		f.stale = n.Stale
	}
}

func (h *Hub) hearWanted(_ notice, key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interest[key] = time.Now().Add(interestFor)
}

// want tells the other replicas that somebody here watches a job, and has it polled.
func (h *Hub) want(key Key) {
	h.say(topicWanted, notice{Job: h.names.of(key)})
	h.background(func() { h.enqueue(key) })
}

// enqueue puts a job into the queue, and reports whether that took it. Where it did not, all are put there again in a while.
func (h *Hub) enqueue(key Key) bool {
	err := h.queue.Add(h.ctx, h.names.of(key))
	if err != nil {
		h.refillSoon()
	}
	return err == nil
}

// refillSoon has the queue filled again in a while.
func (h *Hub) refillSoon() {
	select {
	case h.missed <- struct{}{}:
	default:
	}
}

// refillAfter is when the queue is filled again that did not take a job.
const refillAfter = 250 * time.Millisecond

// refill puts every job that should be polled into the queue, which may have lost some: it lives in memory.
func (h *Hub) refill() {
	now := time.Now()
	h.mu.Lock()
	var moving, wanted []Key
	for key, e := range h.index.entries {
		if e.moving() {
			moving = append(moving, key)
		}
	}
	for key, f := range h.feeds {
		if f.ended == 0 {
			wanted = append(wanted, key)
		}
	}
	for key, until := range h.interest {
		if until.Before(now) {
			delete(h.interest, key)
		}
	}
	h.mu.Unlock()
	for _, key := range wanted {
		h.say(topicWanted, notice{Job: h.names.of(key)})
	}
	for _, key := range append(moving, wanted...) {
		if h.ctx.Err() != nil || !h.enqueue(key) {
			return
		}
	}
}

// delivered decides what becomes of a job that the queue hands out: done, asked about, or left until it comes again.
func (h *Hub) delivered(d store.Delivery) {
	key, ok := h.names.key(d.Key)
	if !ok {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.index.entries[key]
	watched := h.feeds[key] != nil || h.interest[key].After(now)
	switch {
	case e == nil && d.Count < 8: // its record may be on its way here
	case e != nil && e.Job.State.Ended():
		d.Done()
	case e == nil || !e.moving() && !watched:
		if h.asking < h.cfg.MaxPolls && !h.stopped {
			h.asking++
			h.work.Go(func() { h.unwanted(key, d) })
		}
	case e.asking, now.Before(e.notBefore), !watched && now.Sub(e.asked) < unwatchedEvery:
	case h.asking >= h.cfg.MaxPolls || h.stopped:
	default:
		h.asking++
		e.asking, e.asked = true, now
		h.work.Go(func() { h.pollManaged(key, d) })
	}
}

// unwanted takes a job out of the queue that by the index here need not be asked about, unless the store knows better:
// news of a start may be late, and who took it out then would leave it for a minute without polls.
func (h *Hub) unwanted(key Key, d store.Delivery) {
	latest, err := h.journal.Get(h.ctx, d.Key)
	if err == nil {
		h.apply(latest)
	}
	known := err == nil || errors.Is(err, store.ErrNotFound) // else it comes again
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking--
	h.rouse()
	watched := h.feeds[key] != nil || h.interest[key].After(time.Now()) // perhaps since a moment ago
	if e := h.index.entries[key]; known && (e == nil || !e.moving() && !watched) {
		d.Done()
	}
}

// pollManaged asks about a job with the server's own credential.
func (h *Hub) pollManaged(key Key, d store.Delivery) {
	job, err := h.upstream.Ask(h.ctx, key, nil)
	var after RetryAfter
	wait := time.Duration(0)
	switch {
	case h.ctx.Err() != nil:
	case err == nil:
		h.seenJob(key, job)
		if err := h.observe(h.ctx, keepFor, job); err != nil {
			h.doubt(key, "the journal does not answer since ")
		} else if job.State.Ended() {
			d.Done()
		}
	case errors.Is(err, ErrGone):
		if h.forget(h.ctx, keepFor, key) == nil {
			d.Done()
		}
	default:
		h.doubt(key, "upstream unavailable since ")
		if errors.As(err, &after) {
			wait = after.After()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking--
	h.rouse()
	e := h.index.entries[key]
	if e == nil {
		return
	}
	if e.asking = false; err == nil {
		e.fails, e.notBefore = 0, time.Time{}
		return
	}
	e.fails++
	if wait <= 0 {
		wait = jitter(min(h.cfg.PollMin<<min(e.fails, 10), 2*h.cfg.PollMax), 0.2)
	}
	e.notBefore = time.Now().Add(wait)
}

// seenJob tells every replica that a job was confirmed just now.
func (h *Hub) seenJob(key Key, job Job) {
	if !h.upstream.Managed {
		return
	}
	h.mu.Lock()
	if e := h.index.entries[key]; e != nil {
		e.asked, e.stale = time.Now(), ""
	}
	h.mu.Unlock()
	h.say(topicSeen, notice{Job: h.names.of(key), Observed: nanos(job.Observed)})
}

// doubt says that a job's state may be old from now on.
func (h *Hub) doubt(key Key, why string) {
	why += time.Now().UTC().Format(time.RFC3339)
	h.mu.Lock()
	if f := h.feeds[key]; f != nil && f.stale == "" {
		f.stale = why
	}
	e := h.index.entries[key]
	tell := h.upstream.Managed && e != nil && e.stale == ""
	if tell {
		e.stale = why
	}
	h.mu.Unlock()
	if tell {
		h.say(topicSeen, notice{Job: h.names.of(key), Stale: why})
	}
}

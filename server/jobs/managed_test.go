package jobs

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

func managedOn(t *testing.T, s *store.Store, cfg Config, ask Ask) *Hub {
	t.Helper()
	h, err := NewHub(s, Upstream{Name: "u1", Ask: ask, Managed: true}, cfg, silent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Drain)
	<-h.Loaded()
	return h
}

// A started job is polled to its end, seldom while nobody watches, by one replica at a time.
func TestManagedPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		s := newStore(t)
		a, b := managedOn(t, s, Config{}, up.ask), managedOn(t, s, Config{}, up.ask)
		keep(t, a, theJob, a.Owner(nil))
		time.Sleep(10 * time.Minute)
		if up.count() != 0 {
			t.Errorf("a job that was not started is polled: %d", up.count())
		}
		if err := up.start(t, a, nil, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n := up.count(); n < 8 || n > 12 {
			t.Errorf("%d polls in 10 minutes while nobody watches", n)
		}
		w := open(t, b, "", "")
		wantJob(t, next(t, w), Running, false)
		before := up.count()
		for begin := time.Now(); time.Since(begin) < 10*time.Minute; {
			if e := next(t, w); !e.Heartbeat || e.Stale != "" || time.Since(e.Observed) > 31*time.Second {
				t.Errorf("%+v, observed %s ago", e, time.Since(e.Observed))
			}
		}
		if n := up.count() - before; n < 38 || n > 45 {
			t.Errorf("%d polls in 10 minutes while watched, want one each 15 s", n)
		}
		up.to(Finished, "Finished")
		wantJob(t, nextNot(t, w), Finished, false)
		wantEnd(t, next(t, w), EndTerminal)
		w.Close()
		before = up.count()
		time.Sleep(10 * time.Minute)
		if up.count() != before {
			t.Error("an ended job is polled")
		}
		if a.State(theJob) != Finished || b.State(theJob) != Finished {
			t.Error("the replicas disagree")
		}
	})
}

// A job that ends while every process is down is found out about afterwards.
func TestManagedPollsGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		h := managedOn(t, newStore(t), Config{}, up.ask)
		keep(t, h, theJob, h.Owner(nil))
		if err := up.start(t, h, nil, ""); err != nil {
			t.Fatal(err)
		}
		h.Drain()
		up.to(Failed, "Failed")
		h = managedOn(t, h.store, Config{}, up.ask)
		time.Sleep(3 * time.Minute)
		if h.State(theJob) != Failed {
			t.Errorf("state %d", h.State(theJob))
		}
	})
}

func TestManagedOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		s := newStore(t)
		a, b := managedOn(t, s, Config{}, up.ask), managedOn(t, s, Config{}, up.ask)
		keep(t, a, theJob, a.Owner(nil))
		if err := up.start(t, a, nil, ""); err != nil {
			t.Fatal(err)
		}
		w := open(t, b, "", "")
		defer w.Close()
		nextNot(t, w)
		up.set(func(u *upstream) { u.err = errors.New("down") })
		e := next(t, w)
		for ; e.Stale == ""; e = next(t, w) {
		}
		if !strings.HasPrefix(e.Stale, "upstream unavailable since ") {
			t.Errorf("stale: %q", e.Stale)
		}
		before := up.count()
		time.Sleep(10 * time.Minute)
		if n := up.count() - before; n > 2*10*60/15 {
			t.Errorf("%d polls of a dead upstream in 10 minutes", n)
		}
		// The journal is the caller's, who was let in by the front: it can be shown, as old as it is.
		late := open(t, a, "", "")
		wantJob(t, next(t, late), h0(late), false)
		if beat := next(t, late); beat.Stale == "" {
			t.Errorf("not stale: %+v", beat)
		}
		late.Close()
		up.set(func(u *upstream) { u.err = nil })
		up.to(Finished, "Finished")
		wantJob(t, nextNot(t, w), Finished, false)
	})
}

func h0(w *Watch) State { return w.hub.State(theJob) }

func TestManagedGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		h := managedOn(t, newStore(t), Config{}, up.ask)
		keep(t, h, theJob, h.Owner(nil))
		if err := up.start(t, h, nil, ""); err != nil {
			t.Fatal(err)
		}
		w := open(t, h, "", "")
		defer w.Close()
		nextNot(t, w)
		up.set(func(u *upstream) { u.err = ErrGone })
		for {
			if e := nextNot(t, w); e.End != 0 {
				wantEnd(t, e, EndGone)
				break
			}
		}
		if h.State(theJob) != 0 {
			t.Error("a removed job stays in the journal")
		}
	})
}

// A job that the queue did not take is put there again soon.
func TestQueueIsFilledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := managedOn(t, newStore(t), Config{}, up.ask)
		<-h.Loaded()
		synctest.Wait() // the queue was filled with what there is, which is nothing
		up.to(Running, "Running")
		h.Observed(t.Context(), Job{Key: theJob, State: Running, Word: "Running", Observed: time.Now()})
		time.Sleep(2 * time.Second)
		if up.count() != 0 {
			t.Fatal("it was asked about without the queue")
		}
		h.missed <- struct{}{}
		time.Sleep(2 * time.Second)
		if up.count() == 0 {
			t.Error("it was not asked about")
		}
		h.Drain()
		if h.enqueue(theJob) || len(h.missed) != 1 {
			t.Error("a queue that does not answer took it")
		}
	})
}

// A replica that has not heard of a start yet does not take the job out of the queue.
func TestQueueKeepsWhatIsNewsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := managedOn(t, newStore(t), Config{}, newUpstream().ask)
		keep(t, h, theJob, h.Owner(nil))
		h.mu.Lock()
		before := *h.index.entries[theJob]
		h.mu.Unlock()
		hand := func() (done bool) {
			h.delivered(store.Delivery{Key: h.names.of(theJob), Count: 1, Done: func() { done = true }})
			synctest.Wait()
			return done
		}
		if !hand() {
			t.Error("a job that was not started stays in the queue")
		}
		if err := h.update(t.Context(), keepFor, theJob, func(r *record, _ bool) bool {
			r.Start = start{Phase: accepted, At: time.Now()}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.mu.Lock()
		*h.index.entries[theJob] = before // as if it had not been told
		h.mu.Unlock()
		if hand() {
			t.Error("a started job is taken out")
		}
		h.Drain()
	})
}

// A job that is watched since a moment ago is not taken out of the queue.
func TestWatchedJobStaysQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := managedOn(t, newStore(t), Config{}, newUpstream().ask)
		h.Observed(t.Context(), Job{Key: theJob, State: NotStarted, Word: "NotStarted", Observed: time.Now()})
		for _, watched := range []bool{false, true} {
			if watched {
				w := open(t, h, "", "")
				defer w.Close()
			}
			out := false
			h.mu.Lock()
			h.asking++
			h.mu.Unlock()
			h.unwanted(theJob, store.Delivery{Key: h.names.of(theJob), Count: 1, Done: func() { out = true }})
			if out == watched {
				t.Errorf("watched %t: taken out %t", watched, out)
			}
		}
	})
}

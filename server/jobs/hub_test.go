package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchTellsEveryChangeOnceAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		wantJob(t, next(t, w), NotStarted, false)
		up.to(Running, "Running")
		wantJob(t, nextNot(t, w), Running, false)
		up.to(Finished, "Finished")
		wantJob(t, nextNot(t, w), Finished, false)
		wantEnd(t, next(t, w), EndTerminal)
		w.Close()
		synctest.Wait()
		if n := h.Watches(); n != 0 {
			t.Errorf("%d watches are left", n)
		}
		before := up.count()
		time.Sleep(time.Hour) // of the bubble's clock
		if up.count() != before {
			t.Error("an ended job is polled")
		}
	})
}

func TestHeartbeatsCarryTheCursorAndSayWhatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		first := next(t, w)
		begin := time.Now()
		beat := next(t, w)
		if took := time.Since(begin); !beat.Heartbeat || beat.Cursor != first.Cursor || took < 13*time.Second || took > 17*time.Second {
			t.Errorf("%+v after %s, want a heartbeat with cursor %s after 15 s", beat, took, first.Cursor)
		}
		if beat.Stale != "" || time.Since(beat.Observed) > 16*time.Second {
			t.Errorf("stale %q, observed %s ago", beat.Stale, time.Since(beat.Observed))
		}
		up.set(func(u *upstream) { u.err = errors.New("boom") })
		time.Sleep(20 * time.Second)
		for beat = next(t, w); beat.Stale == ""; beat = next(t, w) {
		}
		if !strings.HasPrefix(beat.Stale, "upstream unavailable since 2000-01-01T") {
			t.Errorf("stale reason %q", beat.Stale)
		}
		up.set(func(u *upstream) { u.err = nil })
		up.to(Running, "Running")
		wantJob(t, nextNot(t, w), Running, false)
		if beat = next(t, w); beat.Stale != "" {
			t.Errorf("still stale: %q", beat.Stale)
		}
	})
}

func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		keep := open(t, h, "keeper", "")
		defer keep.Close()
		w := open(t, h, "a", "")
		c1 := next(t, w).Cursor
		w.Close()
		up.to(Running, "Running")
		wantJob(t, next(t, keep), NotStarted, false)
		wantJob(t, nextNot(t, keep), Running, false)
		up.to(Running, "Finalizing")
		wantJob(t, nextNot(t, keep), Running, false)

		w = open(t, h, "a", c1) // both changes, none repeated
		wantJob(t, next(t, w), Running, false)
		e := next(t, w)
		wantJob(t, e, Running, false)
		if e.Job.Word != "Finalizing" {
			t.Errorf("second change: %+v", e.Job)
		}
		w.Close()
		w = open(t, h, "a", e.Cursor) // nothing new: a sign of life at once, no repeat
		if first := next(t, w); !first.Heartbeat || first.Cursor != e.Cursor {
			t.Errorf("%+v", first)
		}
		up.to(Finished, "Finished")
		last := nextNot(t, w)
		wantJob(t, last, Finished, false)
		wantEnd(t, next(t, w), EndTerminal)
		w.Close()
		w = open(t, h, "a", last.Cursor) // nothing but the end
		wantEnd(t, next(t, w), EndTerminal)
		w.Close()

		other := newHub(t, Config{}, up.ask) // of another store: the state, and that something may be missing
		defer other.Drain()
		w = open(t, other, "a", c1)
		wantJob(t, next(t, w), Finished, true)
		wantEnd(t, next(t, w), EndTerminal)
		w.Close()
	})
}

func TestCursorsAreCheckedAndBoundToTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		good := next(t, w).Cursor
		w.Close()
		for _, bad := range []string{"x", good + "A", good[1:], good[:len(good)-1] + "!", strings.ToUpper(good), h.epoch.cursor(Key{"w1", "s1", "j2"}, 1)} {
			if _, err := h.Watch(t.Context(), theJob, keyed("a"), bad); !errors.Is(err, ErrCursor) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if len(good) > 128 || strings.Trim(good, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			t.Errorf("cursor %q is not what the contract says", good)
		}
	})
}

func TestManyWatchersCostOnePoll(t *testing.T) {
	for _, tc := range []struct {
		name   string
		keys   int
		proofs int
	}{{"one credential", 1, 1}, {"a credential each", 1000, 1000}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := newUpstream()
				up.took = 10 * time.Millisecond
				h := newHub(t, Config{PollMin: time.Second, PollMax: time.Second}, up.ask)
				defer h.Drain()
				var told sync.WaitGroup
				for i := range 1000 {
					told.Go(func() {
						w, err := h.Watch(t.Context(), theJob, keyed(fmt.Sprint("k", i%tc.keys)), "")
						if err != nil {
							t.Error(err)
							return
						}
						defer w.Close()
						for e := (Event{}); e.End == 0; {
							if e, err = w.Next(t.Context()); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				time.Sleep(30*time.Second + 500*time.Millisecond)
				polls := up.count() - tc.proofs
				if polls < 27 || polls > 34 {
					t.Errorf("%d polls in 30 s beside %d proofs", polls, tc.proofs)
				}
				up.to(Finished, "Finished")
				told.Wait()
			})
		})
	}
}

func TestAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.keys = map[string]bool{"Bearer a": true, "Bearer b": true}
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		a, b := open(t, h, "a", ""), open(t, h, "b", "")
		defer a.Close()
		defer b.Close()
		wantJob(t, next(t, a), NotStarted, false)
		wantJob(t, next(t, b), NotStarted, false)
		if _, err := h.Watch(t.Context(), theJob, keyed("c"), ""); !errors.Is(err, ErrDenied) {
			t.Errorf("a stranger: %v", err)
		}
		up.set(func(u *upstream) { delete(u.keys, "Bearer a") })
		wantEnd(t, nextNot(t, a), EndAccessLost)
		up.to(Running, "Running")
		wantJob(t, nextNot(t, b), Running, false)
	})
}

func TestProofsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{MaxAge: 5 * time.Hour}, up.ask)
		defer h.Drain()
		a, b := open(t, h, "a", ""), open(t, h, "b", "")
		defer a.Close()
		defer b.Close()
		begin := time.Now()
		for _, w := range []*Watch{a, b} {
			for time.Since(begin) < 30*time.Minute {
				next(t, w)
			}
			begin = time.Now()
		}
		up.set(func(u *upstream) {
			if u.byKey["Bearer a"] < 4 || u.byKey["Bearer b"] < 4 {
				t.Errorf("asked by key: %v", u.byKey)
			}
		})
	})
}

func TestUpstreamDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		down := errors.New("down")
		up.set(func(u *upstream) { u.err = down })
		if _, err := h.Watch(t.Context(), theJob, keyed("b"), ""); !errors.Is(err, down) {
			t.Errorf("without a proof a cached state was shown: %v", err)
		}
		before := up.count()
		time.Sleep(10 * time.Minute)
		if n := up.count() - before; n > 10*60/15 {
			t.Errorf("%d polls of a dead upstream in 10 minutes", n)
		}
	})
}

func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		keep(t, h, theJob, h.Owner(keyed("a")))
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		up.set(func(u *upstream) { u.err = ErrGone })
		wantEnd(t, nextNot(t, w), EndGone)
		if page, _, _ := h.List(t.Context(), Filter{Owner: h.Owner(keyed("a")), Workspace: "w1", Service: "-"}, 10, ""); len(page) != 0 {
			t.Errorf("a removed job is listed: %v", page)
		}
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begin := time.Now()
		w, err := h.Watch(ctx, theJob, keyed("a"), "")
		if err != nil {
			t.Fatal(err)
		}
		next(t, w)
		end := nextNot(t, w)
		wantEnd(t, end, EndDeadline)
		if took := time.Since(begin); took != 29*time.Second {
			t.Errorf("ended after %s of 30 s", took)
		}
		w.Close()

		begin = time.Now()
		w = open(t, h, "a", "")
		next(t, w)
		wantEnd(t, nextNot(t, w), EndDeadline)
		if took := time.Since(begin); took < 36*time.Minute || took > 54*time.Minute {
			t.Errorf("greatest age %s, want 45 min give or take a fifth", took)
		}
		w.Close()

		w = open(t, h, "a", "")
		next(t, w)
		go h.Drain()
		wantEnd(t, nextNot(t, w), EndDraining)
		w.Close()
		if _, err := h.Watch(t.Context(), theJob, keyed("a"), ""); !errors.Is(err, ErrDraining) {
			t.Errorf("a watch after the stop: %v", err)
		}
	})
}

func TestCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{MaxWatches: 3, MaxWatchesPerKey: 2}, up.ask)
		defer h.Drain()
		a1, a2 := open(t, h, "a", ""), open(t, h, "a", "")
		var limit *LimitError
		if _, err := h.Watch(t.Context(), theJob, keyed("a"), ""); !errors.As(err, &limit) || limit.Name != "--max-watches-per-key" || limit.Limit != 2 {
			t.Errorf("%v", err)
		}
		b := open(t, h, "b", "")
		if _, err := h.Watch(t.Context(), theJob, keyed("c"), ""); !errors.As(err, &limit) || limit.Name != "--max-watches" {
			t.Errorf("%v", err)
		}
		a1.Close()
		open(t, h, "c", "").Close()
		a2.Close()
		b.Close()
	})
}

func TestSlowReaderGetsTheLatestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{PollMax: time.Second}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		for i := range 100 {
			up.to(Running, fmt.Sprint("step ", i))
			time.Sleep(2 * time.Second)
		}
		e := next(t, w)
		if e.Job == nil || e.Job.Word != "step 99" || !e.Skipped {
			t.Errorf("%+v", e)
		}
		up.to(Failed, "Failed")
		wantJob(t, nextNot(t, w), Failed, false)
		wantEnd(t, next(t, w), EndTerminal)
	})
}

func TestJobsOnlyMoveForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.to(Running, "Running")
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		wantJob(t, next(t, w), Running, false)
		up.to(NotStarted, "NotStarted")
		time.Sleep(time.Minute)
		up.to(Running, "Running")
		time.Sleep(time.Minute)
		up.to(Cancelled, "Cancelled")
		wantJob(t, nextNot(t, w), Cancelled, false)
	})
}

func TestMovedIsAskedAboutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{PollMin: time.Hour, PollMax: time.Hour, Heartbeat: 24 * time.Hour, MaxAge: 48 * time.Hour, ProofAge: 48 * time.Hour}, up.ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		up.to(Running, "Running")
		begin := time.Now()
		h.Moved(theJob)
		wantJob(t, nextNot(t, w), Running, false)
		up.to(Finished, "Finished")
		job, _ := up.ask(t.Context(), theJob, keyed("a"))
		h.Observed(t.Context(), job)
		wantJob(t, nextNot(t, w), Finished, false)
		if took := time.Since(begin); took != 0 {
			t.Errorf("told after %s", took)
		}
	})
}

// Changes that this replica did not hear of, because a refused write brought it a later one, are fetched and told.
func TestWatchWithoutGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		w := open(t, h, "a", "")
		wantJob(t, nextNot(t, w), NotStarted, false)
		for _, state := range []State{Running, Finished} {
			h.Observed(t.Context(), Job{Key: theJob, State: state, Word: "word", Observed: time.Now()})
		}
		h.mu.Lock()
		f := h.feeds[theJob]
		last := f.latest()
		f.changes = f.changes[:1]
		f.add(last)
		h.mu.Unlock()
		wantJob(t, nextNot(t, w), Running, false)
		wantJob(t, nextNot(t, w), Finished, false)
		w.Close()
	})
}

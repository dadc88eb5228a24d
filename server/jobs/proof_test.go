package jobs

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An upstream that hangs when a proof is to be renewed holds up neither heartbeats nor the end before a deadline.
func TestHungProofDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{ProofAge: time.Minute}, up.ask)
		defer h.Drain()
		defer time.Sleep(5 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		a := open(t, h, "a", "")
		defer a.Close()
		w, err := h.Watch(ctx, theJob, keyed("b"), "")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		next(t, w)
		up.set(func(u *upstream) { u.took = 110 * time.Second })
		last := time.Now()
		for {
			e, err := w.Next(ctx)
			if gap := time.Since(last); gap > 17*time.Second {
				t.Errorf("nothing for %s", gap)
			}
			last = time.Now()
			if err != nil {
				t.Fatalf("no End before the deadline: %v", err)
			}
			if e.End != 0 {
				return
			}
		}
	})
}

// Nor does it hold up a stop.
func TestHungProofDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{ProofAge: time.Second}, up.ask)
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		up.set(func(u *upstream) { u.took = 110 * time.Second })
		time.Sleep(5 * time.Second)
		defer time.Sleep(5 * time.Minute)
		done := make(chan time.Duration)
		var begin time.Time
		go func() {
			for {
				e, _ := w.Next(t.Context())
				if e.End != 0 {
					done <- time.Since(begin)
					return
				}
			}
		}()
		synctest.Wait()
		begin = time.Now()
		h.Drain()
		if took := <-done; took > time.Second {
			t.Errorf("drained after %s", took)
		}
	})
}

// Nor does it hold up a stop while a watch is being opened.
func TestHungOpenDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.took = 110 * time.Second
		h := newHub(t, Config{}, up.ask)
		defer time.Sleep(5 * time.Minute)
		done := make(chan error)
		begin := time.Now()
		go func() {
			_, err := h.Watch(t.Context(), theJob, keyed("a"), "")
			done <- err
		}()
		synctest.Wait()
		h.Drain()
		if err := <-done; !errors.Is(err, ErrDraining) || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}

// No change is told on a proof that has expired.
func TestExpiredProofIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		bDown := false
		ask := func(ctx context.Context, key Key, header http.Header) (Job, error) {
			if header.Get("Authorization") == "Bearer b" && bDown {
				return Job{}, errors.New("503 for b")
			}
			return up.ask(ctx, key, header)
		}
		h := newHub(t, Config{MaxAge: 2 * time.Hour}, ask)
		defer h.Drain()
		a, b := open(t, h, "a", ""), open(t, h, "b", "")
		defer a.Close()
		defer b.Close()
		next(t, a)
		next(t, b)
		up.set(func(u *upstream) { bDown = true })
		begin := time.Now()
		for time.Since(begin) < time.Hour {
			next(t, b)
		}
		up.to(Running, "Running")
		e := nextNot(t, b)
		if e.Job != nil {
			t.Errorf("told state %d an hour after the last proof", e.Job.State)
		}
	})
}

// A key revoked since its proof expired is asked about before anything is told to it.
func TestRevokedAfterProofAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		revoked := false
		ask := func(ctx context.Context, key Key, header http.Header) (Job, error) {
			if header.Get("Authorization") == "Bearer b" && revoked {
				return Job{}, ErrDenied
			}
			return up.ask(ctx, key, header)
		}
		h := newHub(t, Config{PollMin: time.Hour, PollMax: time.Hour, Heartbeat: time.Hour}, ask)
		defer h.Drain()
		a, b := open(t, h, "a", ""), open(t, h, "b", "")
		defer a.Close()
		defer b.Close()
		next(t, a)
		next(t, b)
		revoked = true
		time.Sleep(11 * time.Minute)
		up.to(Running, "Running")
		job, _ := up.ask(t.Context(), theJob, keyed("a"))
		h.Observed(t.Context(), job)
		if e := next(t, b); e.Job != nil {
			t.Errorf("told state %d with a key revoked 11 minutes ago", e.Job.State)
		}
	})
}

// An answer that another overtook on its way is not told.
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.to(Running, "step 1")
		var slow atomic.Bool
		ask := func(ctx context.Context, key Key, header http.Header) (Job, error) {
			asked := time.Now()
			job, err := up.ask(ctx, key, header)
			job.Asked = asked
			if slow.Swap(false) { // answered at once upstream, long on its way

				time.Sleep(3 * time.Second)
				job.Observed = time.Now()
			}
			return job, err
		}
		h := newHub(t, Config{}, ask)
		defer h.Drain()
		w := open(t, h, "a", "")
		defer w.Close()
		next(t, w)
		slow.Store(true)
		time.Sleep(1500 * time.Millisecond) // the poll's answer, step 1, is under way
		up.to(Running, "step 2")
		job, _ := up.ask(t.Context(), theJob, keyed("a"))
		job.Asked = time.Now()
		h.Observed(t.Context(), job) // GetJob
		if e := nextNot(t, w); e.Job.Word != "step 2" {
			t.Fatal(e.Job.Word)
		}
		ctx, c := context.WithTimeout(t.Context(), 20*time.Second)
		defer c()
		for {
			e, err := w.Next(ctx)
			if err != nil {
				return
			}
			if e.Job != nil {
				t.Errorf("told %q after step 2", e.Job.Word)
			}
		}
	})
}

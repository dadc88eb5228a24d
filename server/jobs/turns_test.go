package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// others are writes that came before the test's: each takes a while, and ends as the store says.
func others(t *testing.T, h *Hub, n int, took time.Duration, err error) *sync.WaitGroup {
	t.Helper()
	var under sync.WaitGroup
	for range n {
		under.Go(func() {
			_ = h.journal.turn(t.Context(), keepFor, func(ctx context.Context) error {
				select {
				case <-time.After(took):
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	synctest.Wait() // they have their turns, or wait for them
	return &under
}

func anyJob(up *upstream) Ask {
	return func(ctx context.Context, key Key, header http.Header) (Job, error) {
		job, err := up.ask(ctx, key, header)
		job.Key = key
		return job, err
	}
}

// Watches that come when a disk has much to do wait for their turn, however long that takes: the time that a write has
// begins with it.
func TestWatchesWaitForTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, anyJob(newUpstream()))
		before := others(t, h, 5*maxWrites, observeFor*3/4, nil)
		refused := others(t, h, 5*maxWrites, observeFor*3/4, store.ErrConflict)
		var opened sync.WaitGroup
		for i := range 3 * maxWrites {
			opened.Go(func() {
				w, err := h.Watch(t.Context(), Key{"w1", "s1", fmt.Sprint("j", i)}, keyed("a"), "")
				if err != nil {
					t.Error(err)
					return
				}
				wantJob(t, next(t, w), NotStarted, false)
				w.Close()
			})
		}
		opened.Wait()
		before.Wait()
		refused.Wait()
	})
}

// A watch that waits for its turn ends with its caller, with the server, and with a store that answers nobody.
func TestWaitingForTheJournalEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		took  time.Duration // by each write before
		wait  time.Duration // of the caller
		stop  bool          // the server meanwhile
		want  error
		after time.Duration
	}{
		{"with the caller", time.Second, 5 * time.Second, false, context.DeadlineExceeded, 5 * time.Second},
		{"with the server", time.Second, time.Hour, true, ErrDraining, 5 * time.Second},
		{"with the store", time.Hour, time.Hour, false, store.ErrUnavailable, observeFor},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t, Config{}, newUpstream().ask)
				before := others(t, h, 10*maxWrites, tc.took, nil)
				if tc.stop {
					time.AfterFunc(tc.after, h.Drain)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.wait)
				defer cancel()
				begin := time.Now()
				_, err := h.Watch(ctx, theJob, keyed("a"), "")
				if took := time.Since(begin); !errors.Is(err, tc.want) || took != tc.after {
					t.Errorf("%v after %s", err, took)
				}
				before.Wait()
			})
		})
	}
}

// Writes have their turns in the order in which they came.
func TestTurnsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, newUpstream().ask)
		most := others(t, h, maxWrites-1, keepFor, nil)
		last := others(t, h, 1, time.Second, nil) // after which there is one turn at a time
		var mu sync.Mutex
		var order []int
		for i := range 100 {
			last.Go(func() {
				if err := h.journal.turn(t.Context(), observeFor, func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		last.Wait()
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("turns in the order %v", order)
		}
		most.Wait()
	})
}

// Who waits keeps its place in the line, however impatient it is and however many come after.
func TestTurnsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, newUpstream().ask)
		before := others(t, h, 4*maxWrites, time.Second, nil) // four seconds' work
		begin := time.Now()
		var came time.Duration
		before.Go(func() {
			if err := h.journal.turn(t.Context(), observeFor, func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}
			came = time.Since(begin)
		})
		synctest.Wait()
		for range 20 { // more than that comes all the time
			time.Sleep(500 * time.Millisecond)
			for range maxWrites {
				before.Go(func() {
					_ = h.journal.turn(t.Context(), keepFor, func(context.Context) error { time.Sleep(time.Second); return nil })
				})
			}
		}
		before.Wait()
		if came > 5*time.Second {
			t.Errorf("its turn came after %s", came)
		}
	})
}

package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// starter is an upstream whose starts are counted: how many came, and how many were taken.
type starter struct {
	*upstream
	came, took int
	fail       error // the answer in place of the real one
	lost       bool  // with fail: it is taken all the same
	hold       chan struct{}
	queued     bool // a start that is taken does not show yet
}

func newStarter() *starter { return &starter{upstream: newUpstream()} }

func (s *starter) send(ctx context.Context) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came++
	if s.fail == nil || s.lost {
		if s.took > 0 || s.job.State != NotStarted {
			return fmt.Errorf("%w: %w", ErrStarted, ErrRefused)
		}
		s.took++
		if !s.queued {
			s.job.State, s.job.Word = Running, "Running"
		}
	}
	return s.fail
}

func (s *starter) start(t *testing.T, h *Hub, header http.Header, request string) error {
	return h.Start(t.Context(), theJob, header, request, s.send)
}

// crash runs do and dies in it, as a killed process would: nothing that was to follow happens.
func crash(do func(die func())) {
	defer func() { _ = recover() }()
	do(func() { panic("killed") })
}

func wantStarted(t *testing.T, err error, word string) {
	t.Helper()
	var started *StartedError
	if !errors.As(err, &started) || started.Word != word {
		t.Errorf("%v, want that it was started and is %s", err, word)
	}
}

func TestStartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		h := newHub(t, Config{}, up.ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		var wg sync.WaitGroup
		started := make(chan error, 20)
		for range cap(started) {
			wg.Go(func() { started <- up.start(t, h, keyed("a"), "") })
		}
		wg.Wait()
		close(started)
		good := 0
		for err := range started {
			if err == nil {
				good++
			} else {
				wantStarted(t, err, "Running")
			}
		}
		if good != 1 || up.came != 1 {
			t.Errorf("%d succeeded, %d came upstream", good, up.came)
		}
		wantStarted(t, up.start(t, hubOn(t, h.store, Config{}, up.ask), keyed("a"), ""), "Running") // after a restart
		if up.came != 1 {
			t.Errorf("%d came upstream", up.came)
		}
	})
}

func TestStartAcrossCrashes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before bool // the crash comes before the upstream has heard of the start
		again  string
		took   int
		want   string // of the next start: a state, or "" for success
	}{
		{"before it is sent", true, "", 1, ""},
		{"after it is sent", false, "", 1, "Running"},
		{"after it is sent, the same request", false, "r1", 1, ""},
		{"after it is sent, another request", false, "r2", 1, "Running"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := newStarter()
				h := newHub(t, Config{}, up.ask)
				keep(t, h, theJob, h.Owner(keyed("a")))
				crash(func(die func()) {
					_ = h.Start(t.Context(), theJob, keyed("a"), "r1", func(ctx context.Context) error {
						if !tc.before {
							_ = up.send(ctx)
						}
						die()
						return nil
					})
				})
				h.Drain()
				h = hubOn(t, h.store, Config{}, up.ask)
				if err := up.start(t, h, keyed("a"), tc.again); tc.want == "" && err != nil {
					t.Error(err)
				} else if tc.want != "" {
					wantStarted(t, err, tc.want)
				}
				if up.took != tc.took || up.came > 1 {
					t.Errorf("%d starts came, %d were taken", up.came, up.took)
				}
			})
		})
	}
}

// A start whose answer was lost is asked about before the next, by whomever.
func TestStartOfUnknownFate(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			up := newStarter()
			h := newHub(t, Config{}, up.ask)
			up.fail, up.lost = errors.New("broke off"), lost
			if err := up.start(t, h, keyed("a"), ""); !errors.Is(err, up.fail) {
				t.Error(err)
			}
			up.fail = nil
			asked := up.count()
			err := up.start(t, h, keyed("a"), "")
			switch {
			case up.count() == asked:
				t.Error("the upstream was not asked")
			case lost:
				wantStarted(t, err, "Running")
			case err != nil:
				t.Error(err)
			}
			if up.took != 1 {
				t.Errorf("%d starts were taken", up.took)
			}
		})
	}
}

// A start that was taken, but does not show at the upstream yet, and whose answer was lost: the next one is sent, and
// refused. To the caller with the same request id that is a success, to others it is not.
func TestStartThatDoesNotShowYet(t *testing.T) {
	for _, tc := range []struct {
		name, first, second string
		own                 bool
	}{{"the same request id", "r", "r", true}, {"another", "r", "q", false}, {"none", "", "", false}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := newStarter()
				h := newHub(t, Config{}, up.ask)
				keep(t, h, theJob, h.Owner(keyed("a")))
				up.queued, up.lost, up.fail = true, true, errors.New("the answer was lost")
				if err := up.start(t, h, keyed("a"), tc.first); err == nil {
					t.Fatal("a lost answer is a success")
				}
				up.fail, up.lost = nil, false
				err := up.start(t, h, keyed("a"), tc.second)
				if tc.own && err != nil || !tc.own && !errors.Is(err, ErrStarted) {
					t.Errorf("the second start: %v", err)
				}
				if up.took != 1 || up.came != 2 {
					t.Errorf("%d starts came and %d were taken, want 2 and 1", up.came, up.took)
				}
				// From now on the journal knows, and nothing is sent any more.
				_ = up.start(t, h, keyed("a"), tc.first)
				if up.came != 2 {
					t.Error("a start was sent although the journal knows of one that was taken")
				}
			})
		})
	}
}

func TestRefusedStartLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		h := newHub(t, Config{}, up.ask)
		up.fail = ErrRefused
		for range 2 {
			if err := up.start(t, h, keyed("a"), ""); !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
		}
		if up.count() != 0 || h.State(theJob) != 0 || len(h.index.entries) != 0 {
			t.Errorf("asked %d times, %d records", up.count(), len(h.index.entries))
		}
	})
}

// Whether somebody else's job was started is not told to who cannot open it.
func TestStartTellsStrangersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		up.keys = map[string]bool{"Bearer a": true}
		h := newHub(t, Config{}, up.ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		if err := up.start(t, h, keyed("a"), ""); err != nil {
			t.Fatal(err)
		}
		if err := up.start(t, h, keyed("b"), ""); !errors.Is(err, ErrDenied) {
			t.Errorf("a stranger learns %v", err)
		}
	})
}

// While another replica sends a start, nobody else does; once it is long dead, the upstream's word is enough.
func TestStartOnAnotherReplica(t *testing.T) {
	for _, dies := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			up := newStarter()
			s := newStore(t)
			a, b := hubOn(t, s, Config{}, up.ask), hubOn(t, s, Config{}, up.ask)
			a.alone, b.alone = false, false
			up.hold = make(chan struct{})
			sent := make(chan error, 1)
			go func() {
				if dies {
					crash(func(die func()) {
						_ = a.Start(t.Context(), theJob, keyed("a"), "", func(context.Context) error { die(); return nil })
					})
					sent <- nil
					return
				}
				sent <- up.start(t, a, keyed("a"), "")
			}()
			synctest.Wait()
			begin := time.Now()
			second := make(chan error, 1)
			go func() { second <- up.start(t, b, keyed("a"), "") }()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if len(second) != 0 || up.came != 0 {
				t.Errorf("the second did not wait: %d came", up.came)
			}
			close(up.hold)
			if err := <-sent; err != nil {
				t.Error(err)
			}
			err := <-second
			switch took := time.Since(begin); {
			case dies && (err != nil || took < startFor || took > startFor+2*time.Second):
				t.Errorf("taken over after %s: %v", took, err)
			case !dies:
				wantStarted(t, err, "Running")
			}
			if up.took != 1 || up.came != 1 {
				t.Errorf("%d starts came, %d were taken", up.came, up.took)
			}
		})
	}
}

func TestStartTakesNoLongerThanItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		h := newHub(t, Config{}, up.ask)
		up.hold = make(chan struct{})
		if err := up.start(t, h, keyed("a"), ""); !errors.Is(err, ErrStartUnknown) {
			t.Error(err)
		}
	})
}

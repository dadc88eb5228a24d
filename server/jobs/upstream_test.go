package jobs

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// upstream is an AzureML's status calls, scripted: what each job is, which keys open it, and what is wrong today.
type upstream struct {
	mu    sync.Mutex
	job   Job
	keys  map[string]bool // which open the job; nil for all
	err   error
	took  time.Duration
	asked int
	byKey map[string]int
}

var theJob = Key{"w1", "s1", "j1"}

func newUpstream() *upstream {
	return &upstream{job: Job{Key: theJob, State: NotStarted, Word: "NotStarted"}, byKey: map[string]int{}}
}

func (u *upstream) ask(ctx context.Context, key Key, header http.Header) (Job, error) {
	u.mu.Lock()
	u.asked++
	u.byKey[header.Get("Authorization")]++
	took := u.took
	u.mu.Unlock()
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return Job{}, ctx.Err()
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.err != nil:
		return Job{}, u.err
	case u.keys != nil && !u.keys[header.Get("Authorization")]:
		return Job{}, ErrDenied
	}
	job := u.job
	job.Observed = time.Now()
	return job, nil
}

func (u *upstream) set(change func(*upstream)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

func (u *upstream) to(state State, word string) {
	u.set(func(u *upstream) { u.job.State, u.job.Word = state, word })
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

// newHub returns a hub on a store of its own, in memory; both end with the test.
func newHub(t *testing.T, cfg Config, ask Ask) *Hub {
	t.Helper()
	return hubOn(t, newStore(t), cfg, ask)
}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func hubOn(t *testing.T, s *store.Store, cfg Config, ask Ask) *Hub {
	t.Helper()
	h, err := NewHub(s, Upstream{Name: "u1", Ask: ask}, cfg, silent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Drain)
	<-h.Loaded()
	return h
}

func keep(t *testing.T, h *Hub, key Key, owner Owner) {
	t.Helper()
	if err := h.Keep(t.Context(), key, owner, ""); err != nil {
		t.Fatal(err)
	}
}

func keyed(name string) http.Header { return http.Header{"Authorization": {"Bearer " + name}} }

// open opens a watch that the test closes at its end.
func open(t *testing.T, h *Hub, key, cursor string) *Watch {
	t.Helper()
	w, err := h.Watch(t.Context(), theJob, keyed(key), cursor)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func next(t *testing.T, w *Watch) Event {
	t.Helper()
	e, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nextNot skips heartbeats.
func nextNot(t *testing.T, w *Watch) Event {
	t.Helper()
	for {
		if e := next(t, w); !e.Heartbeat {
			return e
		}
	}
}

func wantJob(t *testing.T, e Event, state State, skipped bool) {
	t.Helper()
	if e.Job == nil || e.Job.State != state || e.Skipped != skipped || e.Cursor == "" {
		t.Fatalf("got %+v (job %+v), want state %d, skipped %v", e, e.Job, state, skipped)
	}
}

func wantEnd(t *testing.T, e Event, reason EndReason) {
	t.Helper()
	if e.End != reason || e.Cursor == "" || e.Message == "" {
		t.Fatalf("got %+v, want end %d", e, reason)
	}
}

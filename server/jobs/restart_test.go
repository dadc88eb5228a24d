package jobs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// What was told before a restart is not told again, and what happened since is told in order.
func TestResumeAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		w := open(t, h, "a", "")
		first := next(t, w)
		wantJob(t, first, NotStarted, false)
		for _, word := range []string{"Running", "Step 2", "Step 3"} {
			up.to(Running, word)
			wantJob(t, nextNot(t, w), Running, false)
		}
		w.Close()
		h.Drain()

		h = hubOn(t, h.store, Config{}, up.ask)
		w = open(t, h, "a", first.Cursor)
		var words []string
		for range 3 {
			e := nextNot(t, w)
			wantJob(t, e, Running, false)
			words = append(words, e.Job.Word)
			first = e
		}
		if got := strings.Join(words, ", "); got != "Running, Step 2, Step 3" {
			t.Errorf("told %s", got)
		}
		w.Close()
		w = open(t, h, "a", first.Cursor)
		if e := next(t, w); !e.Heartbeat {
			t.Errorf("told again: %+v", e)
		}
		w.Close()
		if got := listed(t, h, "a"); len(got) != 1 {
			t.Errorf("listed %v", got)
		}
	})
}

// What one replica hears, the watchers of another are told; and its cursors are good there, even before it has caught up.
func TestReplicasShareWhatTheyHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		s := newStore(t)
		slow := Config{PollMin: time.Hour, PollMax: time.Hour, Heartbeat: 5 * time.Hour, ProofAge: 5 * time.Hour}
		a, b := hubOn(t, s, slow, up.ask), hubOn(t, s, slow, up.ask)
		wa, wb := open(t, a, "a", ""), open(t, b, "a", "")
		defer wa.Close()
		wantJob(t, next(t, wa), NotStarted, false)
		wantJob(t, next(t, wb), NotStarted, false)
		up.to(Running, "Running")
		job, _ := up.ask(t.Context(), theJob, keyed("a"))
		a.Observed(t.Context(), job)
		e := next(t, wa)
		wantJob(t, e, Running, false)
		wantJob(t, next(t, wb), Running, false)
		wb.Close()
		wb = open(t, b, "a", e.Cursor)
		defer wb.Close()
		if e := next(t, wb); !e.Heartbeat {
			t.Errorf("told again by another replica: %+v", e)
		}
	})
}

// A job that nobody submitted here is taken in when somebody shows access to it, and is in nobody's list.
func TestAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.keys = map[string]bool{"Bearer a": true}
		h := newHub(t, Config{}, up.ask)
		if _, err := h.Watch(t.Context(), theJob, keyed("b"), ""); !errors.Is(err, ErrDenied) || h.State(theJob) != 0 {
			t.Errorf("a stranger: %v, state %d", err, h.State(theJob))
		}
		open(t, h, "a", "").Close()
		if h.State(theJob) != NotStarted || len(listed(t, h, "a")) != 0 {
			t.Errorf("state %d, listed %v", h.State(theJob), listed(t, h, "a"))
		}
		keep(t, h, theJob, h.Owner(keyed("a"))) // it was submitted here after all
		if len(listed(t, h, "a")) != 1 {
			t.Error("not listed")
		}
	})
}

// Jobs that were not submitted here are taken in up to a bound, which does not concern those that are.
func TestAdoptionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, anyJob(newUpstream()))
		watch := func(id string) error {
			w, err := h.Watch(t.Context(), Key{"w1", "s1", id}, keyed("a"), "")
			if err == nil {
				w.Close()
			}
			return err
		}
		adopted := func(more int) int {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.index.adopted += more
			return h.index.adopted
		}
		count := func(want int) {
			t.Helper()
			if n := adopted(0); n != want {
				t.Errorf("%d are adopted, want %d", n, want)
			}
		}
		for _, id := range []string{"j1", "j2", "j3", "j3"} {
			if err := watch(id); err != nil {
				t.Error(err)
			}
		}
		count(3)
		keep(t, h, Key{"w1", "s1", "j1"}, h.Owner(keyed("a"))) // it was submitted here after all
		count(2)
		h.Gone(t.Context(), Key{"w1", "s1", "j2"}, h.Owner(keyed("a")))
		count(1)

		adopted(maxAdopted - 1)
		if err := watch("j4"); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "not submitted through this service") {
			t.Errorf("one more: %v", err)
		}
		keep(t, h, Key{"w1", "s1", "j5"}, h.Owner(keyed("a")))
		for _, id := range []string{"j1", "j3", "j5"} { // known
			if err := watch(id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		adopted(-1)
		if err := watch("j4"); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// An upstream that knows nothing of a job to a stranger does not take it from its owner.
func TestStrangersCannotRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, newUpstream().ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		h.Gone(t.Context(), theJob, h.Owner(keyed("b")))
		if len(listed(t, h, "a")) != 1 {
			t.Error("a stranger removed a job")
		}
		h.Gone(t.Context(), theJob, h.Owner(keyed("a")))
		if len(listed(t, h, "a")) != 0 {
			t.Error("a removed job is listed")
		}
		h.Drain()
		if got := listed(t, hubOn(t, h.store, Config{}, newUpstream().ask), "a"); len(got) != 0 {
			t.Errorf("after a restart: %v", got)
		}
	})
}

// Another upstream's jobs of the same name are other jobs, and its cursors other cursors.
func TestUpstreamsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		w := open(t, h, "a", "")
		cursor := next(t, w).Cursor
		w.Close()
		other, err := NewHub(h.store, Upstream{Name: "u2", Ask: up.ask}, Config{}, h.log)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Drain()
		if got := listed(t, other, "a"); len(got) != 0 || other.State(theJob) != 0 {
			t.Errorf("listed %v", got)
		}
		w = open(t, other, "a", cursor)
		wantJob(t, next(t, w), NotStarted, true)
		w.Close()
	})
}

func TestNames(t *testing.T) {
	n := names{"u1."}
	for _, k := range []Key{{"w", "s", "j"}, {"w.x", "s..y", "a.-_b."}, {"0", "A", "9"}} {
		name := n.of(k)
		if got, ok := n.key(name); !ok || got != k || strings.Contains(name, "..") || strings.HasSuffix(name, ".") {
			t.Errorf("%v is %q and back %v", k, name, got)
		}
	}
	for _, bad := range []string{"u2.w.s.j", "u1.w.s", "u1.w.s.j.k", ""} {
		if k, ok := n.key(bad); ok {
			t.Errorf("%q is %v", bad, k)
		}
	}
}

func TestRecordsFit(t *testing.T) {
	r := record{Job: Job{State: Failed, Word: "Failed", Details: strings.Repeat("é", 100_000)}, Owned: true, Submitted: time.Now()}
	for i := range 2000 {
		r.Job.Results = append(r.Job.Results, Result{fmt.Sprint("output", i), "https://a.example/", "/c/b.csv"})
	}
	b := r.encode(8 << 10)
	back, err := decode(theJob, b)
	if err != nil || len(b) > 8<<10 || back.Job.State != Failed || !back.Owned || !strings.HasSuffix(back.Job.Details, "[cut]") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// The journal takes no new jobs while the store is full, and says so.
func TestRecordsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{}, newUpstream().ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		h.mu.Lock()
		e := h.index.entries[theJob]
		e.written = time.Now().Add(-rewriteAfter) // not from what it was: that may be the store's clock, which is outside the bubble
		before := e.revision
		h.mu.Unlock()
		h.expire() // old, but nobody watches it
		w := open(t, h, "a", "")
		if e.revision != before {
			t.Error("written again although nobody watches")
		}
		first := next(t, w)
		h.expire()
		if e.revision == before {
			t.Error("a watched job's record is not written again")
		}
		w.Close()
		w = open(t, h, "a", first.Cursor)
		if e := next(t, w); !e.Heartbeat {
			t.Errorf("a record written again is told as a change: %+v", e)
		}
		w.Close()
		if err := h.catchUp(t.Context()); err != nil { // else the record written again could come after it was dropped
			t.Fatal(err)
		}
		h.mu.Lock()
		e.written = time.Now().Add(-store.JobsAge)
		h.mu.Unlock()
		h.expire()
		if got := listed(t, h, "a"); len(got) != 0 {
			t.Errorf("listed after a month: %v", got)
		}
	})
}

// A record that cannot be read, of a later version say, stands in nobody's way but its own job's.
func TestUnreadableRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newStarter()
		s := newStore(t)
		if _, err := s.Jobs().Create(t.Context(), (names{"u1."}).of(theJob), []byte("not JSON")); err != nil {
			t.Fatal(err)
		}
		h := hubOn(t, s, Config{}, up.ask)
		if err := h.Keep(t.Context(), theJob, h.Owner(keyed("a")), ""); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("kept over it: %v", err)
		}
		if err := up.start(t, h, keyed("a"), ""); !errors.Is(err, store.ErrUnavailable) || up.came != 0 {
			t.Errorf("started: %v, %d came", err, up.came)
		}
		keep(t, h, Key{"w1", "s1", "other"}, h.Owner(keyed("a")))
	})
}

// An answer that was on its way when the job was found to be gone does not bring it back.
func TestLateAnswerRevivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		keep(t, h, theJob, h.Owner(keyed("a")))
		late, _ := up.ask(t.Context(), theJob, keyed("a"))
		late.Asked = time.Now()
		time.Sleep(time.Second)
		h.Gone(t.Context(), theJob, h.Owner(keyed("a")))
		h.Observed(t.Context(), late)
		if h.State(theJob) != 0 {
			t.Error("a removed job is back")
		}
		late.Asked = time.Now().Add(time.Second)
		h.Observed(t.Context(), late)
		if h.State(theJob) == 0 {
			t.Error("a job that is there after all is not taken in")
		}
	})
}

// A cursor of a replica that is ahead waits for this one to catch up, and is neither told again nor taken for a strange one.
func TestCursorOfAReplicaAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		s := newStore(t)
		a, b := hubOn(t, s, Config{}, up.ask), hubOn(t, s, Config{}, up.ask)
		open(t, a, "a", "").Close()
		synctest.Wait()
		before := *b.index.entries[theJob]
		up.to(Running, "Running")
		w := open(t, a, "a", "")
		ahead := next(t, w)
		wantJob(t, ahead, Running, false)
		w.Close()
		synctest.Wait()
		latest, err := s.Jobs().Get(t.Context(), b.names.of(theJob))
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		*b.index.entries[theJob], b.seen = before, before.revision // b has not heard of it yet
		b.prove(theJob, b.Owner(keyed("a")))
		b.newFeed(b.index.entries[theJob])
		b.mu.Unlock()
		time.AfterFunc(time.Second, func() { b.heard(latest) })
		w = open(t, b, "a", ahead.Cursor)
		defer w.Close()
		if e := next(t, w); !e.Heartbeat || e.Cursor != ahead.Cursor {
			t.Errorf("%+v", e)
		}
	})
}

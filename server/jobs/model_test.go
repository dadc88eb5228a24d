package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/amlgate/amlgate/server/store"
)

// The model test drives two replicas on one store through random sequences of what callers, the upstream and bad luck do,
// and holds them to what they promise: every watcher is told each state at most once and in order, and the terminal one
// always; a cursor resumes anywhere; a job is started at most once; a list has what was submitted; a request id has one
// answer.

// TestModel is the model in both modes.
func TestModel(t *testing.T) {
	for _, managed := range []bool{false, true} {
		t.Run(fmt.Sprint("managed=", managed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(timeless{t}, func(r *rapid.T) {
					m := newModel(r, managed)
					defer m.close()
					r.Repeat(map[string]func(*rapid.T){
						"submit": m.submit, "repeat": m.repeat, "start": m.start, "move": m.move, "step": m.step, "remove": m.remove,
						"read": m.read, "watch": m.watch, "drop": m.drop, "restart": m.restart, "outage": m.outage, "wait": m.wait,
						"": m.check,
					})
					m.finish()
				})
			})
		})
	}
}

// timeless is a test without a deadline, which cannot be asked for inside a bubble.
type timeless struct{ testing.TB }

// model is what should be.
type model struct {
	t       *rapid.T
	managed bool
	world   *world
	store   *store.Store
	hubs    [2]*Hub

	kept    []Key             // submitted and answered, oldest first
	removed map[Key]bool      // upstream, whether or not anybody has noticed
	answers map[string]string // by request id
	watches []*observer
	ids     int
}

// observer is a watcher and what it was told.
type observer struct {
	model  *model
	key    Key
	hub    int
	w      *Watch
	cursor string
	told   []string
	end    EndReason
}

func newModel(t *rapid.T, managed bool) *model {
	s, err := store.Open(context.Background(), store.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{t: t, managed: managed, world: &world{jobs: map[Key]*truth{}}, store: s, removed: map[Key]bool{}, answers: map[string]string{}}
	for i := range m.hubs {
		m.open(i)
	}
	return m
}

func (m *model) open(i int) {
	h, err := NewHub(m.store, Upstream{Name: "u1", Ask: m.world.ask, Managed: m.managed}, Config{MaxAge: 1000 * time.Hour}, silent)
	if err != nil {
		m.t.Fatal(err)
	}
	h.alone = false
	<-h.Loaded()
	m.hubs[i] = h
}

func (m *model) close() {
	for _, o := range m.watches {
		o.close()
	}
	for _, h := range m.hubs {
		h.Drain()
	}
	m.store.Close()
}

var caller = keyed("a")

func (m *model) hub(t *rapid.T) *Hub { return m.hubs[rapid.IntRange(0, 1).Draw(t, "hub")] }

// known draws a job that was submitted; where there is none the step does nothing.
func (m *model) known(t *rapid.T) Key {
	if len(m.kept) == 0 {
		t.Skip("no job yet")
	}
	return rapid.SampledFrom(m.kept).Draw(t, "job")
}

func (m *model) submit(t *rapid.T) {
	h := m.hub(t)
	key, err := m.world.create()
	if err != nil {
		return
	}
	if err := h.Keep(context.Background(), key, h.Owner(caller), ""); err != nil {
		t.Fatal(err)
	}
	m.kept = append(m.kept, key)
	time.Sleep(time.Millisecond) // lists go by the time of the submit
}

// repeat submits with a request id, a new one or one used before, and may die after the job was kept.
func (m *model) repeat(t *rapid.T) {
	h := m.hub(t)
	n := rapid.IntRange(max(0, m.ids-2), m.ids).Draw(t, "request")
	m.ids = max(m.ids, n+1)
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	dies := rapid.IntRange(0, 3).Draw(t, "dies") == 0
	var answer string
	err := errors.New("killed")
	crash(func(die func()) {
		answer, err = h.Once(context.Background(), Request{ID: id, Owner: h.Owner(caller), Body: []byte("x")}, func(ctx context.Context, request string, again bool) (string, func(), error) {
			if again {
				if key, found, err := h.Submitted(ctx, request); found || err != nil {
					return key.ID, nil, err
				}
			}
			key, err := m.world.create()
			if err != nil {
				return "", nil, err
			}
			err = h.Keep(ctx, key, h.Owner(caller), request)
			if err == nil {
				m.kept = append(m.kept, key)
			}
			if dies {
				die()
			}
			return key.ID, func() { t.Fatal("a job was taken back") }, err
		})
	})
	time.Sleep(time.Millisecond)
	if err != nil {
		return
	}
	if before, ok := m.answers[id]; ok && before != answer {
		t.Fatalf("request %s was answered %s and then %s", id, before, answer)
	}
	m.answers[id] = answer
}

func (m *model) start(t *rapid.T) {
	h, key, f := m.hub(t), m.known(t), fate(rapid.IntRange(0, int(fates)-1).Draw(t, "fate"))
	err := errors.New("killed")
	crash(func(func()) {
		err = h.Start(context.Background(), key, caller, "", func(context.Context) error { return m.world.start(key, f) })
	})
	if errors.Is(err, ErrGone) {
		h.Gone(context.Background(), key, h.Owner(caller))
	}
	j := m.world.jobs[key]
	if err == nil && j != nil && j.taken != 1 {
		t.Fatalf("the start of %s succeeded, and %d were taken", key.ID, j.taken)
	}
}

// move ends a job, or has it started by somebody else.
func (m *model) move(t *rapid.T) {
	key := m.known(t)
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	if j := m.world.jobs[key]; j != nil && j.state == Running {
		j.state = rapid.SampledFrom([]State{Failed, Cancelled, Finished}).Draw(t, "end")
	}
}

func (m *model) step(t *rapid.T) {
	key := m.known(t)
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	if j := m.world.jobs[key]; j != nil && j.state == Running {
		j.steps++
	}
}

func (m *model) remove(t *rapid.T) {
	key := m.known(t)
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip("not now")
	}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	delete(m.world.jobs, key)
	m.removed[key] = true
}

// read is GetJob.
func (m *model) read(t *rapid.T) {
	h, key := m.hub(t), m.known(t)
	job, err := m.world.ask(context.Background(), key, caller)
	switch {
	case err == nil:
		h.Proven(key, caller)
		h.Observed(context.Background(), job)
	case errors.Is(err, ErrGone):
		h.Gone(context.Background(), key, h.Owner(caller))
	}
}

// watch opens a watch, or comes back to one with its cursor, on either replica.
func (m *model) watch(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "hub")
	var o *observer
	if dropped := slices.DeleteFunc(slices.Clone(m.watches), func(o *observer) bool { return o.w != nil || o.end != 0 }); len(dropped) > 0 && rapid.Bool().Draw(t, "comes back") {
		o = rapid.SampledFrom(dropped).Draw(t, "who")
	} else {
		o = &observer{model: m, key: m.known(t)}
		m.watches = append(m.watches, o)
	}
	o.hub = i
	o.connect(t)
}

func (o *observer) connect(t *rapid.T) {
	w, err := o.model.hubs[o.hub].Watch(context.Background(), o.key, caller, o.cursor)
	switch {
	case errors.Is(err, ErrGone) && o.model.removed[o.key]:
		o.end = EndGone
	case err == nil:
		o.w = w
	case !o.model.world.down:
		t.Fatalf("watching %s: %v", o.key.ID, err)
	}
}

func (o *observer) close() {
	if o.w != nil {
		o.w.Close()
		o.w = nil
	}
}

func (m *model) drop(t *rapid.T) {
	for _, o := range m.watches {
		if o.w != nil {
			o.close()
			return
		}
	}
	t.Skip("nobody watches")
}

// restart ends one replica and begins another in its place.
func (m *model) restart(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "hub")
	m.listen(t)
	m.hubs[i].Drain()
	for _, o := range m.watches {
		if o.w != nil && o.hub == i {
			o.hear(t)
			if o.w != nil {
				t.Fatalf("a watch of %s goes on after its replica has stopped", o.key.ID)
			}
		}
	}
	m.open(i)
}

func (m *model) outage(*rapid.T) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.world.down = !m.world.down
}

func (m *model) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
}

// hear reads what a watcher has been told by now.
func (o *observer) hear(t *rapid.T) {
	for o.w != nil {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Nanosecond, cancel)
		e, err := o.w.Next(ctx)
		cancel()
		if err != nil {
			return
		}
		o.cursor = e.Cursor
		switch {
		case e.Job != nil:
			o.take(t, e)
		case e.End == EndDraining || e.End == EndDeadline:
			o.close()
		case e.End != 0:
			o.end = e.End
			if e.End == EndTerminal && (len(o.told) == 0 || o.told[len(o.told)-1] < fmt.Sprint(Failed)) {
				t.Fatalf("the watch of %s ends without its last state: %v", o.key.ID, o.told)
			}
			if e.End == EndGone && !o.model.removed[o.key] || e.End == EndAccessLost {
				t.Fatalf("the watch of %s ends with %d", o.key.ID, e.End)
			}
			o.close()
		}
	}
}

// take checks a state against those before it: texts like "2.3", which ascend with what a job does.
func (o *observer) take(t *rapid.T, e Event) {
	if e.Job.Key != o.key {
		t.Fatalf("a watch of %s is told of %s", o.key.ID, e.Job.ID)
	}
	word := fmt.Sprintf("%d.%04d", e.Job.State, steps(e.Job.Word))
	if n := len(o.told); n > 0 && o.told[n-1] >= word {
		t.Fatalf("%s is told of %s after %v (skipped %v, %+v)", o.key.ID, word, o.told, e.Skipped, e.Job)
	}
	if e.Skipped && len(o.told) == 0 && e.Cursor == "" {
		t.Fatal("skipped without a cursor")
	}
	o.told = append(o.told, word)
}

func steps(word string) (n int) {
	_, _ = fmt.Sscanf(word[1:], ".%d", &n)
	return n
}

func (m *model) listen(t *rapid.T) {
	for _, o := range m.watches {
		o.hear(t)
	}
}

// check is what holds at any time.
func (m *model) check(t *rapid.T) {
	m.listen(t)
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	for key, j := range m.world.jobs {
		if j.taken > 1 {
			t.Fatalf("%s was started %d times", key.ID, j.taken)
		}
	}
}

// finish lets everything come to rest and checks what is left.
func (m *model) finish() {
	m.world.mu.Lock()
	m.world.down = false
	m.world.mu.Unlock()
	for _, o := range m.watches {
		if o.w == nil && o.end == 0 {
			o.connect(m.t)
		}
	}
	time.Sleep(3 * time.Minute)
	m.listen(m.t)
	for _, o := range m.watches {
		j := m.world.jobs[o.key]
		switch {
		case j == nil:
			if o.end != EndGone && o.end != EndTerminal {
				m.t.Fatalf("the watch of %s, which was removed, goes on: %v", o.key.ID, o.told)
			}
		case len(o.told) == 0 || o.told[len(o.told)-1] != fmt.Sprintf("%d.%04d", j.state, j.steps):
			m.t.Fatalf("the watch of %s was told %v; it is %d.%d", o.key.ID, o.told, j.state, j.steps)
		case j.state.Ended() != (o.end == EndTerminal):
			m.t.Fatalf("the watch of %s: end %d in state %d", o.key.ID, o.end, j.state)
		}
	}
	m.checkLists()
}

func (m *model) checkLists() {
	for i, h := range m.hubs {
		var got []string
		for token := ""; ; {
			page, next, err := h.List(context.Background(), Filter{Owner: h.Owner(caller), Workspace: "w1", Service: "-"}, 3, token)
			if err != nil {
				m.t.Fatal(err)
			}
			for _, j := range page {
				if !m.removed[j.Key] { // those may be listed until somebody notices
					got = append(got, j.ID)
				}
			}
			if token = next; token == "" {
				break
			}
		}
		var want []string
		for _, key := range slices.Backward(m.kept) {
			if !m.removed[key] {
				want = append(want, key.ID)
			}
		}
		if !slices.Equal(got, want) {
			m.t.Fatalf("replica %d lists %v, want %v", i, got, want)
		}
	}
}

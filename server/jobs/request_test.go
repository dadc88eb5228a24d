package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

const someID = "123e4567-e89b-42d3-a456-426614174000"

// submitter answers with a new id each time it is called.
type submitter struct {
	mu    sync.Mutex
	calls int
	fail  error
	hold  chan struct{}
	die   func() // after the job was kept
	torn  error  // what is heard although the job was kept
}

func (s *submitter) once(t *testing.T, h *Hub, key, id, body string) (string, error) {
	return s.onceFor(t.Context(), h, key, id, body)
}

func (s *submitter) onceFor(ctx context.Context, h *Hub, key, id, body string) (string, error) {
	owner := h.Owner(keyed(key))
	return h.Once(ctx, Request{ID: id, Owner: owner, Body: []byte(body)}, func(ctx context.Context, request string, again bool) (string, func(), error) {
		if again {
			if job, found, err := h.Submitted(ctx, request); found || err != nil {
				return job.ID, nil, err
			}
		}
		s.mu.Lock()
		s.calls++
		job := Key{"w1", "s1", fmt.Sprint("j", s.calls)}
		fail, hold, die, torn := s.fail, s.hold, s.die, s.torn
		s.mu.Unlock()
		if hold != nil {
			<-hold
		}
		if fail != nil {
			return "", nil, fail
		}
		err := h.Keep(ctx, job, owner, request)
		if die != nil {
			die()
		}
		if torn != nil {
			err = torn
		}
		return job.ID, func() { h.Withdraw(job) }, err
	})
}

func (s *submitter) want(t *testing.T, h *Hub, key, id, body, answer string) {
	t.Helper()
	if got, err := s.once(t, h, key, id, body); got != answer || err != nil {
		t.Errorf("%s %s %s: %q %v, want %q", key, id, body, got, err, answer)
	}
}

func listed(t *testing.T, h *Hub, key string) []string {
	t.Helper()
	page, _, err := h.List(t.Context(), Filter{Owner: h.Owner(keyed(key)), Workspace: "w1", Service: "-"}, 1000, "")
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, j := range page {
		ids = append(ids, j.ID)
	}
	return ids
}

func TestRequestIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{}
		h := newHub(t, Config{}, up.ask)
		s.fail = errors.New("down")
		if _, err := s.once(t, h, "a", someID, "x"); !errors.Is(err, s.fail) {
			t.Error(err)
		}
		s.fail = nil
		s.want(t, h, "a", someID, "x", "j2") // a failure is no answer
		s.want(t, h, "a", someID, "x", "j2")
		s.want(t, h, "a", "123E4567-E89B-42D3-A456-426614174000", "x", "j2") // a UUID in other letters
		if _, err := s.once(t, h, "a", someID, "y"); !errors.Is(err, ErrReused) {
			t.Errorf("another body: %v", err)
		}
		s.want(t, h, "b", someID, "y", "j3") // another caller's id is another id
		h.Drain()
		h = hubOn(t, h.store, Config{}, up.ask)
		s.want(t, h, "a", someID, "x", "j2") // after a restart
		if got := fmt.Sprint(listed(t, h, "a")); got != "[j2]" {
			t.Errorf("listed %s", got)
		}
	})
}

func TestRequestIDsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{hold: make(chan struct{})}
		st := newStore(t)
		hubs := []*Hub{hubOn(t, st, Config{}, up.ask), hubOn(t, st, Config{}, up.ask)}
		hubs[0].alone, hubs[1].alone = false, false
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { s.want(t, hubs[i%2], "a", someID, "x", "j1") })
		}
		time.Sleep(time.Second)
		close(s.hold)
		wg.Wait()
	})
}

// A process that dies with a request id in hand leaves it to the next, which finds what was kept.
func TestRequestIDsAcrossCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{}
		h := newHub(t, Config{}, up.ask)
		crash(func(die func()) {
			s.die = die
			_, _ = s.once(t, h, "a", someID, "x")
		})
		h.Drain()
		s.die = nil
		h = hubOn(t, h.store, Config{}, up.ask)
		s.want(t, h, "a", someID, "x", "j1")
		s.want(t, h, "a", someID, "x", "j1")
		if got := fmt.Sprint(listed(t, h, "a")); got != "[j1]" {
			t.Errorf("listed %s", got)
		}
	})
}

// replicas are two hubs that share a store.
func replicas(t *testing.T, up *upstream) (a, b *Hub) {
	st := newStore(t)
	a, b = hubOn(t, st, Config{}, up.ask), hubOn(t, st, Config{}, up.ask)
	a.alone, b.alone = false, false
	return a, b
}

// A submit that took so long that another replica answered in its place takes its job back and answers the same.
func TestSlowClaimGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{hold: make(chan struct{})}
		a, b := replicas(t, up)
		hold := s.hold
		first := make(chan string, 1)
		go func() {
			answer, err := s.once(t, a, "a", someID, "x")
			if err != nil {
				t.Error(err)
			}
			first <- answer
		}()
		synctest.Wait()
		s.mu.Lock()
		s.hold = nil
		s.mu.Unlock()
		s.want(t, b, "a", someID, "x", "j2")
		close(hold)
		if got := <-first; got != "j2" {
			t.Errorf("the slow one answers %s", got)
		}
		synctest.Wait()
		if got := fmt.Sprint(listed(t, a, "a"), listed(t, b, "a")); got != "[j2] [j2]" {
			t.Errorf("listed %s", got)
		}
	})
}

// It takes its job back even if nobody waits for it any more.
func TestSlowClaimGivesWayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{}
		a, b := replicas(t, up)
		ctx, leave := context.WithCancel(t.Context())
		var both sync.WaitGroup
		var holds []chan struct{}
		for i, h := range []*Hub{a, b} {
			caller := []context.Context{ctx, t.Context()}[i]
			hold := make(chan struct{})
			holds = append(holds, hold)
			s.mu.Lock()
			s.hold = hold
			s.mu.Unlock()
			both.Go(func() { _, _ = s.onceFor(caller, h, "a", someID, "x") })
			time.Sleep(claimFor + time.Second) // the second takes the claim over
		}
		close(holds[0])
		time.Sleep(time.Second) // the first has kept its job, and waits for what the second makes of it
		leave()
		time.Sleep(time.Second)
		close(holds[1])
		both.Wait()
		synctest.Wait()
		if got := fmt.Sprint(listed(t, a, "a"), listed(t, b, "a")); got != "[j2] [j2]" {
			t.Errorf("listed %s", got)
		}
	})
}

// A replica whose claim is taken over when its job is kept already, and found, is answered with that job, and does not take it back.
func TestSlowClaimIsAnsweredByItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, s := newUpstream(), &submitter{}
		a, b := replicas(t, up)
		hold := make(chan struct{})
		s.die = func() { <-hold }
		first := make(chan string, 1)
		go func() {
			answer, err := s.once(t, a, "a", someID, "x")
			if err != nil {
				t.Error(err)
			}
			first <- answer
		}()
		synctest.Wait()
		s.want(t, b, "a", someID, "x", "j1")
		close(hold)
		if got := <-first; got != "j1" {
			t.Errorf("the slow one answers %s", got)
		}
		synctest.Wait()
		if got := fmt.Sprint(listed(t, a, "a"), listed(t, b, "a")); got != "[j1] [j1]" {
			t.Errorf("listed %s", got)
		}
	})
}

// A call whose job was kept although it heard otherwise has made that job: the next call with its id finds it.
func TestRequestOfUnknownFate(t *testing.T) {
	for _, torn := range []error{store.ErrUnavailable, context.Canceled, context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			s := &submitter{torn: torn}
			h := newHub(t, Config{}, newUpstream().ask)
			if _, err := s.once(t, h, "a", someID, "x"); !errors.Is(err, torn) {
				t.Error(err)
			}
			s.torn = nil
			s.want(t, h, "a", someID, "x", "j1")
			if got := listed(t, h, "a"); len(got) != 1 {
				t.Errorf("listed %v", got)
			}
		})
	}
}

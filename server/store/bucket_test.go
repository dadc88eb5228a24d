package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

func TestCompareAndSet(t *testing.T) {
	b := open(t, Config{}).Jobs()
	first := create(t, b, "a", "1")
	if _, err := b.Create(t.Context(), "a", []byte("2")); !errors.Is(err, ErrConflict) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := b.Create(t.Context(), "a", []byte("1")); !errors.Is(err, ErrConflict) {
		t.Errorf("the same created twice: %v", err)
	}
	second, err := b.Update(t.Context(), "a", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatal(second, err)
	}
	if _, err := b.Update(t.Context(), "a", []byte("3"), first); !errors.Is(err, ErrConflict) {
		t.Errorf("updated from an old revision: %v", err)
	}
	if e, err := b.Revision(t.Context(), "a", first); err != nil || string(e.Value) != "1" {
		t.Errorf("the first revision: %v %v", e, err)
	}
	if err := b.Delete(t.Context(), "a", first); !errors.Is(err, ErrConflict) {
		t.Errorf("deleted from an old revision: %v", err)
	}
	if err := b.Delete(t.Context(), "a", second); err != nil {
		t.Fatal(err)
	}
	if got := get(t, b, "a"); got != ErrNotFound.Error() {
		t.Errorf("after its deletion: %q", got)
	}
	if third := create(t, b, "a", "4"); third <= second || get(t, b, "a") != "4" {
		t.Errorf("created again at %d", third)
	}
	if _, err := b.Create(t.Context(), "b", make([]byte, b.MaxValue()+2<<10)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large value: %v", err)
	}
}

// A refused write is told by what is there: this one after all, another, or nothing that could stand in its way, which is a
// server's answer that leads no longer.
func TestRefusedWrite(t *testing.T) {
	b := open(t, Config{}).Jobs()
	revision := create(t, b, "a", "mine")
	there, err := b.stream.GetLastMsgForSubject(t.Context(), b.subject("a"))
	if err != nil {
		t.Fatal(err)
	}
	other := nats.NewMsg(b.subject("a"))
	other.Header[headerWrite] = []string{"other"}
	same := nats.NewMsg(b.subject("a"))
	same.Header = there.Header
	if got, done, err := b.settle(t.Context(), same, 0); got != revision || !done || err != nil {
		t.Errorf("it was this one: %d %t %v", got, done, err)
	}
	if _, done, err := b.settle(t.Context(), other, revision-1); !done || !errors.Is(err, ErrConflict) {
		t.Errorf("it was another: %t %v", done, err)
	}
	if _, done, err := b.settle(t.Context(), other, revision); done || errors.Is(err, ErrConflict) {
		t.Errorf("nothing stands in its way: %t %v", done, err)
	}
}

// Refusals by a server that was replaced as the leader, which answers beside the one that writes, change nothing.
func TestRefusalsOfAnOldLeader(t *testing.T) {
	srv := external(t, true)
	b := open(t, Config{NATS: srv.ClientURL(), NATSReplicas: 1}).Jobs()
	old, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := old.Subscribe("$KV.>", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"KV_amlgate_jobs"}`))
	}); err != nil {
		t.Fatal(err)
	}
	if err := old.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		key := fmt.Sprint("k", i)
		last := create(t, b, key, "1")
		next, err := b.Update(t.Context(), key, []byte("2"), last)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Update(t.Context(), key, []byte("3"), last); !errors.Is(err, ErrConflict) {
			t.Fatalf("updated from an old revision: %v", err)
		}
		if e, err := b.Get(t.Context(), key); err != nil || e.Revision != next {
			t.Fatalf("%v at %d, want %d", err, e.Revision, next)
		}
	}
}

// One of many who set the same revision wins.
func TestOneWins(t *testing.T) {
	b := open(t, Config{}).Jobs()
	var wg sync.WaitGroup
	won := make(chan string, 32)
	for i := range 32 {
		wg.Go(func() {
			value := fmt.Sprint(i)
			if _, err := b.Create(t.Context(), "a", []byte(value)); err == nil {
				won <- value
			} else if !errors.Is(err, ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 || get(t, b, "a") != <-won {
		t.Errorf("%d won", len(won)+1)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := s.Jobs()
		a := create(t, b, "a", "1")
		create(t, b, "b", "1")
		_, _ = b.Update(t.Context(), "a", []byte("2"), a)
		var heard []string
		done := b.Follow(t.Context(), func(e Entry) { heard = append(heard, fmt.Sprint(e.Key, string(e.Value), e.Deleted)) },
			func() { heard = append(heard, "current") })
		synctest.Wait()
		last := create(t, b, "c", "1")
		_ = b.Delete(t.Context(), "c", last)
		synctest.Wait()
		want := "b1false a2false current c1false cfalse ctrue"
		want = strings.Replace(want, "cfalse ", "", 1)
		if got := strings.Join(heard, " "); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
		time.Sleep(time.Hour) // a quiet bucket is no stall
		synctest.Wait()
		if len(heard) != 5 {
			t.Errorf("heard again: %v", heard)
		}
		s.Close()
		<-done
	})
}

// What has expired does not look like a stall, and is not told.
func TestExpiry(t *testing.T) {
	jobs, requests := specs[1].age, specs[2].age
	if jobs != 30*24*time.Hour || requests != 24*time.Hour {
		t.Errorf("jobs are kept for %s, request ids for %s", jobs, requests)
	}
	specs[1].age, specs[2].age = time.Hour, 10*time.Minute // the server's clock ticks every second of the year
	defer func() { specs[1].age, specs[2].age = jobs, requests }()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		create(t, s.Requests(), "a", "1")
		create(t, s.Jobs(), "a", "1")
		time.Sleep(9 * time.Minute)
		if get(t, s.Requests(), "a") != "1" {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Minute)
		if got := get(t, s.Requests(), "a"); got == "1" {
			t.Error("still there")
		}
		time.Sleep(time.Hour)
		told := 0
		done := s.Jobs().Follow(t.Context(), func(Entry) { told++ }, func() {})
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 0 {
			t.Errorf("%d expired records told", told)
		}
		s.Close()
		<-done
	})
}

func TestQueueComesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		q, err := s.OpenQueue(t.Context(), []time.Duration{time.Second, 4 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var at []string
		done, err := q.Take(t.Context(), func(d Delivery) {
			at = append(at, fmt.Sprintf("%s%d@%.0f", d.Key, d.Count, time.Since(begin).Seconds()))
			if d.Count == 4 {
				d.Done()
			}
		}, func() { t.Error("made anew") })
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // there once, however often it is added
			if err := q.Add(t.Context(), "w.s.j"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(at, " "); got != "w.s.j1@0 w.s.j2@1 w.s.j3@5 w.s.j4@9" {
			t.Errorf("handed out %s", got)
		}
		if err := q.Add(t.Context(), "w.s.j"); err != nil { // done once, it can come back
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if len(at) != 5 {
			t.Errorf("handed out %v", at)
		}
		s.Close()
		<-done
	})
}

func TestNotices(t *testing.T) {
	s := open(t, Config{})
	heard := make(chan string, 1)
	stop, err := s.Hear("t", func(b []byte) { heard <- string(b) })
	if err != nil {
		t.Fatal(err)
	}
	s.Say("t", []byte("x"))
	if <-heard != "x" {
		t.Error("another notice")
	}
	stop()
}

// What gets no answer is repeated, first after short waits; what never gets one ends as unavailable.
func TestInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{presence: newPresence(), ended: make(chan struct{}), failed: make(chan struct{})}
		silent := func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}
		began, tries := time.Now(), 0
		err := s.insist(t.Context(), func(ctx context.Context) (bool, error) {
			if tries++; time.Since(began) < 5*time.Second {
				return silent(ctx)
			}
			return true, nil
		})
		if late := time.Since(began) - 5*time.Second; err != nil || tries < 5 || late > quickTimeout {
			t.Errorf("%d tries, done %s late: %v", tries, late, err)
		}
		if err := s.insist(t.Context(), silent); !errors.Is(err, ErrUnavailable) || time.Since(began) > time.Minute {
			t.Errorf("it ends %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.insist(ctx, silent); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller's own end: %v", err)
		}
	})
}

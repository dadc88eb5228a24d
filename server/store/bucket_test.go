package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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

// A write whose first try may have happened is found out about by what is there.
func TestUnknownFate(t *testing.T) {
	b := open(t, Config{}).Jobs()
	revision := create(t, b, "a", "mine")
	if got, err := b.settle(t.Context(), "a", []byte("mine"), false, ErrConflict); got != revision || err != nil {
		t.Errorf("it was this one: %d %v", got, err)
	}
	if _, err := b.settle(t.Context(), "a", []byte("other"), false, ErrConflict); !errors.Is(err, ErrConflict) {
		t.Errorf("it was another: %v", err)
	}
	if _, err := b.settle(t.Context(), "a", nil, true, ErrConflict); !errors.Is(err, ErrConflict) {
		t.Errorf("it was no deletion: %v", err)
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
		})
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

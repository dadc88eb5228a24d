package store

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// A follower whose consumer is gone with its server finds that out by itself.
func TestFollowerWithoutItsConsumer(t *testing.T) {
	out := &lines{}
	s, err := Open(t.Context(), Config{NATS: external(t, true).ClientURL(), NATSReplicas: 1}, slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := s.Jobs()
	create(t, b, "a", "1")
	heard := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := b.Follow(ctx, func(e Entry) { heard <- e.Key }, func() { heard <- "current" })
	for _, want := range []string{"a", "current"} {
		if got := <-heard; got != want {
			t.Fatalf("heard %s, want %s", got, want)
		}
	}
	for name := range b.stream.ConsumerNames(t.Context()).Name() {
		if err := b.stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	create(t, b, "b", "1")
	if got := <-heard; got != "b" || !strings.Contains(out.String(), "follower starts again") {
		t.Errorf("heard %s; the log says %s", got, out)
	}
	cancel()
	<-done
}

// The latest records are not whole while one is missing that is kept: the consumer's server may be behind the leader.
func TestFollowerOfAServerThatIsBehind(t *testing.T) {
	b := open(t, Config{}).Jobs()
	create(t, b, "a", "1")
	began := create(t, b, "b", "1")
	var heard []string
	f := &follower{bucket: b, began: began, each: func(e Entry) { heard = append(heard, e.Key) }, current: func() { heard = append(heard, "current") }}
	for _, key := range []string{"a", "", "b"} {
		var e jetstream.KeyValueEntry
		if key != "" {
			var err error
			if e, err = b.kv.Get(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if !f.take(t.Context(), e) {
			t.Fatal("it gives up")
		}
	}
	if got := strings.Join(heard, " "); got != "a b current" {
		t.Errorf("heard %s", got)
	}
	// What has expired is not waited for.
	f = &follower{bucket: b, began: began + 1, each: f.each, current: f.current}
	if f.take(t.Context(), nil); !f.loaded || f.covered != began+1 {
		t.Errorf("loaded %t, covered %d", f.loaded, f.covered)
	}
}

// A queue that somebody removed is made anew, and handed out from.
func TestQueueIsMadeAnew(t *testing.T) {
	s := open(t, Config{})
	q, err := s.OpenQueue(t.Context(), []time.Duration{time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan string, 1)
	anew := make(chan struct{}, 1)
	done, err := q.Take(ctx, func(d Delivery) {
		taken <- d.Key
		d.Done()
	}, func() { anew <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		for err := q.Add(t.Context(), key); err != nil; err = q.Add(t.Context(), key) {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if got := <-taken; got != key {
			t.Errorf("handed out %s", got)
		}
		if key == "a" {
			if err := s.js.DeleteStream(t.Context(), pollsStream); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-anew
	cancel()
	<-done
}

// A queue that a server has lost with its memory is made anew too, though nobody says that it is gone.
func TestQueueIsMadeAnewAfterARestart(t *testing.T) {
	srv := external(t, true)
	port, dir := srv.Addr().(*net.TCPAddr).Port, srv.StoreDir()
	s := open(t, Config{NATS: srv.ClientURL(), NATSReplicas: 1})
	q, err := s.OpenQueue(t.Context(), []time.Duration{time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	q.deafFor = 0
	ctx, cancel := context.WithCancel(t.Context())
	taken, anew := make(chan string, 1), make(chan struct{}, 1)
	done, err := q.Take(ctx, func(d Delivery) { taken <- d.Key }, func() { anew <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	external(t, true, func(o *server.Options) { o.Port, o.StoreDir = port, dir })
	<-anew
	for q.Add(t.Context(), "a") != nil {
		if t.Context().Err() != nil {
			t.Fatal("it takes nothing")
		}
	}
	if got := <-taken; got != "a" {
		t.Errorf("handed out %s", got)
	}
	cancel()
	<-done
}

package store

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A store that is out of reach says so, has what waits for it give up, and takes that back.
func TestLost(t *testing.T) {
	srv := external(t, true)
	port, dir := srv.Addr().(*net.TCPAddr).Port, srv.StoreDir()
	s := open(t, Config{NATS: srv.ClientURL(), NATSReplicas: 1})
	create(t, s.Jobs(), "a", "1")
	srv.Shutdown()
	srv.WaitForShutdown()
	<-s.Lost()
	if _, err := s.Jobs().Create(t.Context(), "b", nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "out of reach") {
		t.Errorf("a write: %v", err)
	}
	if _, err := s.Jobs().Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "out of reach") {
		t.Errorf("a read: %v", err)
	}
	external(t, true, func(o *server.Options) { o.Port, o.StoreDir = port, dir })
	for get(t, s.Jobs(), "a") != "1" {
		if t.Context().Err() != nil {
			t.Fatal("it does not come back")
		}
	}
	for lost := true; lost; { // the connection is told of a moment after it is there
		select {
		case <-s.Lost():
			runtime.Gosched()
		default:
			lost = false
		}
	}
}

// A connection that is back at once was not lost.
func TestAwayForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{presence: newPresence()}
		for range 3 {
			s.presence.gone()
			s.presence.gone()
			time.Sleep(lostAfter - time.Millisecond)
			s.presence.back()
		}
		s.presence.gone()
		lost := s.Lost()
		time.Sleep(lostAfter - time.Millisecond)
		select {
		case <-lost:
			t.Error("lost too early")
		default:
		}
		<-lost
		s.presence.back()
		s.presence.back()
		if s.Lost() == lost {
			t.Error("still lost")
		}
	})
}

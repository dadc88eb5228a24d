package store

import (
	"sync"
	"time"
)

// lostAfter is how long the connection may be away before the store counts as lost. One that breaks because its server died
// is back at another server sooner.
const lostAfter = time.Second

// presence follows the connection, from its callbacks.
type presence struct {
	mu   sync.Mutex
	away *time.Timer   // runs while the connection is away
	lost chan struct{} // closed once it has been for lostAfter, replaced when it is back
}

func newPresence() presence { return presence{lost: make(chan struct{})} }

// gone says that the connection broke.
func (p *presence) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return
	}
	var own *time.Timer
	own = time.AfterFunc(lostAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.away == own {
			close(p.lost)
		}
	})
	p.away = own
}

// back says that there is a connection again.
func (p *presence) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away == nil {
		return
	}
	p.away.Stop()
	p.away = nil
	select {
	case <-p.lost:
		p.lost = make(chan struct{})
	default:
	}
}

// Lost returns a channel that is closed while the store has been out of reach for a second or more. Another one takes its
// place when it is back.
func (s *Store) Lost() <-chan struct{} {
	s.presence.mu.Lock()
	defer s.presence.mu.Unlock()
	return s.presence.lost
}

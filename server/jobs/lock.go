package jobs

import (
	"context"
	"sync"
)

// locks are locks by name that can be waited for until a context ends.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the lock is let go
}

// take waits for a name's lock. The error is the context's.
func (l *locks) take(ctx context.Context, name string) (release func(), err error) {
	for {
		l.mu.Lock()
		other, held := l.held[name]
		if !held {
			mine := make(chan struct{})
			l.held[name] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, name)
				l.mu.Unlock()
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

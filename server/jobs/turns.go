package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// maxWrites is how many writes to a bucket are under way at a time; the others wait for their turn. The embedded store
// takes all that has arrived as one batch, and acknowledges nothing of it before the last is on the disk: of thousands
// that come at once each would wait for all of them, longer than any single write should take.
const maxWrites = 64

// How long a write has to do without an answer from the store: while it waits for its turn one to anybody, and from then
// on its own. The store's own patience is keepFor too.
const (
	keepFor    = 15 * time.Second // what must not be lost; a leader that dies is replaced sooner
	observeFor = 2 * time.Second  // what a caller waits for who is there for something else
)

// brief is a context for a write that a call does not wait for any longer, whatever becomes of the call.
func brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), observeFor)
}

// turns is a bucket whose writes take turns, in the order in which they come.
type turns struct {
	*store.Bucket
	taken   chan struct{} // holds an element a write under way
	answers atomic.Uint64 // of the store
}

func newTurns(b *store.Bucket) *turns {
	return &turns{Bucket: b, taken: make(chan struct{}, maxWrites)}
}

// Create is the bucket's, in turn.
func (t *turns) Create(ctx context.Context, patience time.Duration, key string, value []byte) (revision uint64, err error) {
	err = t.turn(ctx, patience, func(own context.Context) error {
		revision, err = t.Bucket.Create(own, key, value)
		return err
	})
	return revision, err
}

// Update is the bucket's, in turn.
func (t *turns) Update(ctx context.Context, patience time.Duration, key string, value []byte, last uint64) (revision uint64, err error) {
	err = t.turn(ctx, patience, func(own context.Context) error {
		revision, err = t.Bucket.Update(own, key, value, last)
		return err
	})
	return revision, err
}

// Delete is the bucket's, in turn.
func (t *turns) Delete(ctx context.Context, patience time.Duration, key string, last uint64) error {
	return t.turn(ctx, patience, func(own context.Context) error { return t.Bucket.Delete(own, key, last) })
}

// turn waits for a turn and writes. Errors are write's, the context's, and store.ErrUnavailable where patience ran out.
func (t *turns) turn(ctx context.Context, patience time.Duration, write func(context.Context) error) error {
	if err := t.await(ctx, patience); err != nil {
		return err
	}
	defer func() { <-t.taken }()
	own, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := write(own)
	switch {
	case err == nil || errors.Is(err, store.ErrConflict):
		t.answers.Add(1)
	case own.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err) // the time that ran out is ours and not the caller's
	}
	return err
}

// await waits for a turn as long as the store answers those before.
func (t *turns) await(ctx context.Context, patience time.Duration) error {
	select {
	case t.taken <- struct{}{}:
		return nil
	default:
	}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	before := t.answers.Load()
	var look func() // whether anybody was answered; the wait itself goes on, and keeps its place in the line
	look = func() {
		now := t.answers.Load()
		if now == before {
			cancel()
		} else if before = now; own.Err() == nil {
			time.AfterFunc(patience, look)
		}
	}
	time.AfterFunc(patience, look)
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-own.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: no write was answered for %s", store.ErrUnavailable, patience)
}

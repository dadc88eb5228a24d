package store

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stallAfter is how long a bucket may move on without its follower hearing of it.
const stallAfter = 5 * time.Second

// Follow calls each for the latest record of every key, then current once, then each for every further record in the
// order of revisions, without repeats. Calls come from one goroutine, which must not be held up. It ends with ctx, or
// with the store; done is closed then.
func (b *Bucket) Follow(ctx context.Context, each func(Entry), current func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	f := &follower{bucket: b, each: each, current: current}
	go func() {
		defer close(ended)
		for ctx.Err() == nil && !b.store.closed() {
			f.run(ctx)
			select {
			case <-ctx.Done():
			case <-b.store.ended:
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return ended
}

func (s *Store) closed() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

type follower struct {
	bucket  *Bucket
	each    func(Entry)
	current func()

	loaded bool
	seen   uint64 // highest revision told; before loaded, the highest among the latest records
	began  uint64 // the bucket's last revision when the subscription began
}

// run follows until the subscription breaks or stands still.
func (f *follower) run(ctx context.Context) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	f.began = f.last(own)
	var options []jetstream.WatchOpt
	if f.seen > 0 {
		options = append(options, jetstream.ResumeFromRevision(f.seen+1))
	}
	w, err := f.bucket.kv.WatchAll(own, options...)
	if err != nil {
		return
	}
	defer func() { _ = w.Stop() }()
	check := time.NewTicker(stallAfter)
	defer check.Stop()
	var before, last uint64
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			f.take(e)
		case <-check.C:
			before, last = last, f.last(own)
			if f.loaded && before > f.seen && last > 0 {
				f.bucket.store.log.Warn("a bucket moved on without its follower, which starts again", "bucket", f.bucket.spec.name)
				return
			}
		case <-own.Done():
			return
		case <-f.bucket.store.ended:
			return
		}
	}
}

// take hands on what is new. A nil entry ends the latest records. A consumer that was made again may repeat itself.
func (f *follower) take(e jetstream.KeyValueEntry) {
	if e == nil {
		f.seen = max(f.seen, f.began) // what was not told up to there was replaced or has expired
		if !f.loaded {
			f.loaded = true
			f.current()
		}
		return
	}
	if e.Revision() <= f.seen {
		return
	}
	f.seen = e.Revision()
	f.each(entryOf(e))
}

func (f *follower) last(ctx context.Context) uint64 {
	n, err := f.bucket.Last(ctx)
	if err != nil {
		return 0
	}
	return n
}

package store

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stallAfter is how long a bucket may move on without its follower hearing of anything. The consumer behind a follower is on
// one server of a cluster and goes with it; its client would need ten seconds to notice. Inside this process none is lost.
const (
	stallAfter      = time.Second
	stallAfterAlone = 5 * time.Second
)

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

	loaded  bool
	told    uint64 // highest revision told; before loaded, the highest among the latest records
	began   uint64 // the bucket's last revision when the subscription began
	covered uint64 // up to where nothing is missed
	late    bool   // the latest records were ended before the one at began
}

// check is what was learned of a bucket's last revision.
type check struct {
	last uint64
	err  error
}

// run follows until the subscription breaks or stands still.
func (f *follower) run(ctx context.Context) {
	own, cancel := context.WithCancel(ctx) // its end unsubscribes
	defer cancel()
	kv, every := f.bucket.kv, stallAfter
	if f.bucket.store.Alone() {
		every = stallAfterAlone
	}
	var err error
	if f.began, err = f.bucket.Last(own); err != nil {
		return
	}
	var options []jetstream.WatchOpt
	if f.told > 0 {
		kv, options = f.bucket.quick, append(options, jetstream.ResumeFromRevision(f.told+1))
	}
	w, err := kv.WatchAll(own, options...)
	if err != nil {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	checks := make(chan check, 1)
	checking, away := false, false
	var last, told uint64 // as of the check before
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if !f.take(own, e) {
				return
			}
		case <-tick.C:
			if !checking { // reads must not hold up what is told
				checking = true
				go func() { checks <- f.check(own) }()
			}
		case c := <-checks:
			checking = false
			if c.err != nil {
				away = true
				continue
			}
			if away || last > f.covered && told == f.told {
				f.bucket.store.log.Info("a bucket's follower starts again", "bucket", f.bucket.spec.name, "at", f.told, "of", c.last)
				return
			}
			last, told = c.last, f.told
		case <-own.Done():
			return
		case <-f.bucket.store.ended:
			return
		}
	}
}

// take hands on what is new. A consumer that was made again may repeat itself. A nil entry ends the latest records, too early
// where the consumer's server is behind the bucket's leader: then the rest follows. It reports whether to go on.
func (f *follower) take(ctx context.Context, e jetstream.KeyValueEntry) bool {
	if e == nil {
		kept := false
		if f.told < f.began {
			var err error
			if kept, err = f.bucket.keeps(ctx, f.began); err != nil {
				return false
			}
		}
		if f.late = kept; !kept {
			f.whole()
		}
		return true
	}
	if e.Revision() <= f.told {
		return true
	}
	f.told = e.Revision()
	f.covered = max(f.covered, f.told)
	f.each(entryOf(e))
	if f.late && f.told >= f.began {
		f.late = false
		f.whole()
	}
	return true
}

// whole says that everything up to where the subscription began is told, has been replaced or has expired.
func (f *follower) whole() {
	f.covered = max(f.covered, f.began)
	if !f.loaded {
		f.loaded = true
		f.current()
	}
}

// check reads the bucket's last revision.
func (f *follower) check(ctx context.Context) check {
	own, cancel := context.WithTimeout(ctx, quickTimeout)
	defer cancel()
	last, err := f.bucket.lastNow(own)
	return check{last, err}
}

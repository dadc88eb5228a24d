package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long one exchange with JetStream may take, and how long it is repeated. What is under way when a leader dies is never
// answered, and another is chosen after four to nine seconds; so the first tries are short. The later ones are for a store
// that is slow.
const (
	quickTimeout = time.Second
	slowTimeout  = 3 * time.Second
	quickTries   = 10
	opPatience   = 15 * time.Second
)

// Bucket is a set of records by key. A key is made of letters, digits and "-_=/", in parts that are joined by dots.
type Bucket struct {
	store  *Store
	place  int
	spec   bucketSpec
	kv     jetstream.KeyValue
	quick  jetstream.KeyValue
	stream jetstream.Stream
}

// Entry is a record as it was written.
type Entry struct {
	Key      string
	Value    []byte // nil where Deleted
	Revision uint64 // ascending over the whole bucket
	Written  time.Time
	Deleted  bool
}

// MaxValue is how many bytes one value may have.
func (b *Bucket) MaxValue() int { return int(b.spec.maxValue) }

// Get reads a key's latest record. Errors are ErrNotFound, ErrUnavailable or the context's.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) { return b.Revision(ctx, key, 0) }

// Revision reads one of a key's records that are kept; 0 is the latest. Errors are as Get's.
func (b *Bucket) Revision(ctx context.Context, key string, revision uint64) (Entry, error) {
	var e jetstream.KeyValueEntry
	misses := 0
	err := b.store.insist(ctx, func(ctx context.Context) (done bool, err error) {
		if revision == 0 {
			e, err = b.kv.Get(ctx, key)
		} else {
			e, err = b.kv.GetRevision(ctx, key, revision)
		}
		switch {
		case errors.Is(err, jetstream.ErrKeyDeleted):
			return true, ErrNotFound
		case errors.Is(err, jetstream.ErrKeyNotFound):
			misses++
			return b.store.believes(misses), ErrNotFound
		}
		return err == nil, err
	})
	if err != nil {
		return Entry{}, err
	}
	return entryOf(e), nil
}

// insist calls try until it is done, for as long as that may help, and returns its error then: otherwise ErrUnavailable with
// try's last, or the context's.
func (s *Store) insist(ctx context.Context, try func(context.Context) (done bool, err error)) error {
	own, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	for n := 0; ; n++ {
		timeout := quickTimeout
		if n >= quickTries {
			timeout = slowTimeout
		}
		once, end := context.WithTimeout(own, timeout)
		done, err := try(once)
		end()
		if done {
			return err
		}
		select {
		case <-time.After(min(20*time.Millisecond<<min(n, 5), 500*time.Millisecond)):
		case <-s.ended:
			return fmt.Errorf("%w: it is closed", ErrUnavailable)
		case <-s.failed:
			return fmt.Errorf("%w: %w", ErrUnavailable, s.Err())
		case <-s.Lost():
			return fmt.Errorf("%w: it is out of reach: %w", ErrUnavailable, err)
		case <-own.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// believes reports whether a record is missing that was not found so many times. A server that was replaced as a leader
// and does not know it yet answers from what it had; after a second it knows.
func (s *Store) believes(misses int) bool { return s.Alone() || misses >= 7 }

func entryOf(e jetstream.KeyValueEntry) Entry {
	return Entry{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Written: e.Created(), Deleted: e.Operation() != jetstream.KeyValuePut}
}

// Create writes a key's first record, or one after its deletion. Errors are ErrConflict, ErrFull, ErrTooLarge, ErrUnavailable or
// the context's.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	revision, err := b.put(ctx, key, value, 0, false)
	if !errors.Is(err, ErrConflict) {
		return revision, err
	}
	// A deleted key has a last revision too.
	last, unread := b.latest(ctx, key)
	switch {
	case unread != nil:
		return 0, unread
	case last == nil || last.Header.Get(headerOperation) == "":
		return 0, err
	}
	return b.put(ctx, key, value, last.Sequence, false)
}

// latest reads a key's latest message, a deletion too; nil where there is none. Errors are ErrUnavailable or the context's.
func (b *Bucket) latest(ctx context.Context, key string) (last *jetstream.RawStreamMsg, err error) {
	err = b.store.insist(ctx, func(ctx context.Context) (done bool, err error) {
		last, err = b.stream.GetLastMsgForSubject(ctx, b.subject(key))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		return err == nil, err
	})
	return last, err
}

// Update writes a key's record if its latest revision is last. Errors are as Create's.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	return b.put(ctx, key, value, last, false)
}

// Delete ends a key's record if its latest revision is last. Errors are as Create's.
func (b *Bucket) Delete(ctx context.Context, key string, last uint64) error {
	_, err := b.put(ctx, key, nil, last, true)
	return err
}

func (b *Bucket) subject(key string) string { return "$KV." + b.spec.name + "." + key }

// put makes one compare-and-set and finds out its fate. It is marked, so that it can be told from any other: where no answer
// comes it is repeated unchanged, and where it is refused, the record that is there tells whether it was this one. A refusal
// may come from a server that led until a moment ago and does not know yet that it was replaced; while the record in the
// way is not to be seen, it is no refusal.
func (b *Bucket) put(ctx context.Context, key string, value []byte, last uint64, del bool) (uint64, error) {
	m := nats.NewMsg(b.subject(key))
	m.Data = value
	m.Header[headerWrite] = []string{rand.Text()}
	if del {
		m.Header[headerOperation] = []string{"DEL"}
	}
	var revision uint64
	misses := 0
	err := b.store.insist(ctx, func(ctx context.Context) (done bool, err error) {
		revision, err = b.try(ctx, m, last)
		switch {
		case errors.Is(err, ErrConflict):
			revision, done, err = b.settle(ctx, m, last)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				misses++
				return last != 0 && b.store.believes(misses), ErrConflict // it has expired
			}
			return done, err
		case err == nil, errors.Is(err, ErrFull), errors.Is(err, ErrTooLarge):
			return true, err
		}
		return false, err
	})
	if err != nil {
		return 0, err
	}
	b.store.mark.note(b.place, revision)
	return revision, nil
}

// Headers of records: the operation, as NATS' own clients write it, and which write it was.
const (
	headerOperation = "KV-Operation"
	headerWrite     = "Amlgate-Write"
)

// settle tells what a refused compare-and-set came to: done without an error where it is there, at a revision, and with
// ErrConflict where another record is.
func (b *Bucket) settle(ctx context.Context, m *nats.Msg, last uint64) (revision uint64, done bool, err error) {
	there, err := b.stream.GetLastMsgForSubject(ctx, m.Subject)
	switch {
	case err != nil:
		return 0, false, err
	case there.Header.Get(headerWrite) == m.Header[headerWrite][0]:
		return there.Sequence, true, nil
	case there.Sequence <= last:
		return 0, false, fmt.Errorf("a record was refused for one after revision %d, and the last is %d", last, there.Sequence)
	}
	return 0, true, ErrConflict
}

// JetStream's codes: for a compare-and-set that came too late, from one server and from several; for a value too large;
// and for no room.
const (
	codeLast         = 10071
	codeLastConstant = 10164
	codeTooLarge     = 10054
	codeNoResources  = 10023
	codeNoStorage    = 10047
	codeStoreFailed  = 10077
)

func (b *Bucket) try(ctx context.Context, m *nats.Msg, last uint64) (uint64, error) {
	ack, err := b.store.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithRetryAttempts(0))
	if err == nil {
		return ack.Sequence, nil
	}
	var said *jetstream.APIError
	if errors.As(err, &said) {
		switch said.ErrorCode {
		case codeLast, codeLastConstant:
			return 0, ErrConflict
		case codeTooLarge:
			return 0, fmt.Errorf("%w: bucket %s takes %d bytes", ErrTooLarge, b.spec.name, b.spec.maxValue)
		case codeNoResources, codeNoStorage, codeStoreFailed:
			return 0, fmt.Errorf("%w: bucket %s: %s", ErrFull, b.spec.name, said.Description)
		}
	}
	return 0, err
}

// Last is the bucket's highest revision, whatever became of it since. Errors are ErrUnavailable or the context's.
func (b *Bucket) Last(ctx context.Context) (last uint64, err error) {
	err = b.store.insist(ctx, func(ctx context.Context) (done bool, err error) {
		last, err = b.lastNow(ctx)
		return err == nil, err
	})
	return last, err
}

// lastNow is Last, tried once.
func (b *Bucket) lastNow(ctx context.Context) (uint64, error) {
	info, err := b.store.streamInfo(ctx, "KV_"+b.spec.name)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// keeps reports whether there is a record at a revision. Errors are ErrUnavailable or the context's.
func (b *Bucket) keeps(ctx context.Context, revision uint64) (kept bool, err error) {
	err = b.store.insist(ctx, func(ctx context.Context) (done bool, err error) {
		_, err = b.stream.GetMsg(ctx, revision)
		kept = err == nil
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		return kept, err
	})
	return kept, err
}

func (s *Store) streamInfo(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	own, cancel := context.WithTimeout(ctx, slowTimeout)
	defer cancel()
	stream, err := s.js.Stream(own, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

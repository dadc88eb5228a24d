package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long one exchange with JetStream may take, and how long a write goes on finding out its fate. A leader that dies is
// replaced after some four seconds.
const (
	opTimeout  = 3 * time.Second
	opPatience = 15 * time.Second
)

// Bucket is a set of records by key. A key is made of letters, digits and "-_=/", in parts that are joined by dots.
type Bucket struct {
	store  *Store
	place  int
	spec   bucketSpec
	kv     jetstream.KeyValue
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
	own, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	var e jetstream.KeyValueEntry
	var err error
	if revision == 0 {
		e, err = b.kv.Get(own, key)
	} else {
		e, err = b.kv.GetRevision(own, key, revision)
	}
	switch {
	case err == nil:
		return entryOf(e), nil
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return Entry{}, ErrNotFound
	case ctx.Err() != nil:
		return Entry{}, ctx.Err()
	}
	return Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

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
	own, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	last, found := b.stream.GetLastMsgForSubject(own, b.subject(key))
	if found != nil || last.Header.Get("KV-Operation") == "" {
		return 0, err
	}
	return b.put(ctx, key, value, last.Sequence, false)
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

// put makes one compare-and-set and finds out its fate: where no answer comes it is repeated unchanged, and where the
// repetition is refused, the record that is there tells whether it was the first try that wrote it.
func (b *Bucket) put(ctx context.Context, key string, value []byte, last uint64, del bool) (uint64, error) {
	own, cancel := context.WithTimeout(ctx, opPatience)
	defer cancel()
	unsure := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		revision, err := b.try(own, key, value, last, del)
		switch {
		case err == nil:
			b.store.mark.note(b.place, revision)
			return revision, nil
		case errors.Is(err, ErrConflict) && unsure:
			return b.settle(own, key, value, del, err)
		case errors.Is(err, ErrConflict), errors.Is(err, ErrFull), errors.Is(err, ErrTooLarge):
			return 0, err
		}
		unsure = true
		select {
		case <-time.After(wait):
		case <-b.store.ended:
			return 0, fmt.Errorf("%w: it is closed", ErrUnavailable)
		case <-b.store.failed:
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, b.store.Err())
		case <-own.Done():
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// settle tells whether a record that stands in the way is the one that was to be written.
func (b *Bucket) settle(ctx context.Context, key string, value []byte, del bool, conflict error) (uint64, error) {
	last, err := b.stream.GetLastMsgForSubject(ctx, b.subject(key))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case (last.Header.Get("KV-Operation") != "") != del || !bytes.Equal(last.Data, value):
		return 0, conflict
	}
	b.store.mark.note(b.place, last.Sequence)
	return last.Sequence, nil
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

func (b *Bucket) try(ctx context.Context, key string, value []byte, last uint64, del bool) (uint64, error) {
	own, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	m := nats.NewMsg(b.subject(key))
	m.Data = value
	if del {
		m.Header["KV-Operation"] = []string{"DEL"}
	}
	ack, err := b.store.js.PublishMsg(own, m, jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithRetryAttempts(0))
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

// Last is the bucket's highest revision, whatever became of it since.
func (b *Bucket) Last(ctx context.Context) (uint64, error) {
	info, err := b.store.streamInfo(ctx, "KV_"+b.spec.name)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return info.State.LastSeq, nil
}

func (s *Store) streamInfo(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	own, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	stream, err := s.js.Stream(own, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

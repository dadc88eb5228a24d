package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The ways in which a store refuses.
var (
	// ErrConflict is a compare-and-set that came too late, or a key that exists already.
	ErrConflict = errors.New("the record has changed meanwhile")

	// ErrNotFound is a key without a record.
	ErrNotFound = errors.New("no such record")

	// ErrFull is a disk or a bucket without room for more.
	ErrFull = errors.New("the store is full")

	// ErrTooLarge is a value beyond its bucket's limit.
	ErrTooLarge = errors.New("the record is too large")

	// ErrUnavailable is a store that does not answer. Whether a write happened is not known then.
	ErrUnavailable = errors.New("the store does not answer")
)

// Store is an open store. It is safe for use by many goroutines.
type Store struct {
	log      *slog.Logger
	folder   *folder
	temp     string // of memory storage; removed at the end
	mark     *mark
	server   *server.Server // nil with an external cluster
	conn     *nats.Conn
	js       jetstream.JetStream
	quick    jetstream.JetStream // whose own requests give up sooner
	presence presence
	replicas int

	buckets []*Bucket // in the order of specs
	secret  [32]byte
	epoch   [16]byte

	full    atomic.Pointer[error]
	failed  chan struct{}
	once    sync.Once
	err     atomic.Pointer[error]
	ended   chan struct{}
	closing sync.Once
	guard   sync.WaitGroup
}

// Open opens the store that cfg names. Errors name the flag that is at fault. The store must be closed.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (_ *Store, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{log: silent(log), presence: newPresence(), failed: make(chan struct{}), ended: make(chan struct{}), replicas: cfg.replicas()}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	var noMark error
	fresh := false
	if cfg.Data != "" {
		if s.folder, err = openFolder(cfg.Data); err != nil {
			return nil, err
		}
		if s.mark, fresh, noMark = openMark(cfg.Data); noMark != nil && !errors.Is(noMark, errMark) {
			return nil, noMark
		}
		if _, gone := os.Stat(filepath.Join(cfg.Data, "jetstream")); fresh && gone != nil {
			if fresh, err = false, s.mark.set(make([]uint64, len(specs))); err != nil { // before there is anything to lose
				return nil, err
			}
		}
	}
	if err := s.connect(ctx, cfg); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(slowTimeout)); err != nil {
		return nil, err
	}
	if s.quick, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(quickTimeout)); err != nil {
		return nil, err
	}
	storage := jetstream.FileStorage
	if !cfg.durable() {
		storage = jetstream.MemoryStorage
	}
	lost, err := s.missing(ctx, fresh, noMark)
	if err != nil {
		return nil, err
	}
	if len(lost) > 0 && !cfg.AcceptLoss {
		return nil, lossError(cfg.Data, lost)
	}
	if err := s.declare(ctx, storage, cfg.flag()); err != nil {
		return nil, err
	}
	if err := s.identity(ctx, lost); err != nil {
		return nil, err
	}
	s.startWatchdog(cfg.Data)
	return s, nil
}

// flag names the setting that a storage error is about.
func (c *Config) flag() string {
	switch {
	case c.NATS != "":
		return "--nats"
	case c.Data != "":
		return "--data"
	}
	return "the embedded store"
}

// missing compares each stream with its mark and says what is lost, a line a bucket.
func (s *Store) missing(ctx context.Context, fresh bool, noMark error) ([]string, error) {
	if s.mark == nil {
		return nil, nil
	}
	var lost []string
	for i, spec := range specs {
		info, err := s.streamInfo(ctx, "KV_"+spec.name)
		var last uint64
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return nil, fmt.Errorf("--data: bucket %s: %w", spec.name, err)
		default:
			last = info.State.LastSeq
		}
		switch want := s.mark.revisions[i]; {
		case noMark != nil && i == 0:
			lost = append(lost, noMark.Error()+"; whether anything is missing cannot be told")
		case fresh && last > 0:
			lost = append(lost, fmt.Sprintf("bucket %s has %d revisions, and the file that notes how many there were is gone", spec.name, last))
		case last < want:
			lost = append(lost, fmt.Sprintf("bucket %s: revisions %d to %d were acknowledged and are gone", spec.name, last+1, want))
		}
	}
	return lost, nil
}

func lossError(data string, lost []string) error {
	return fmt.Errorf("--data %s has lost records:\n  %s\nrestore the folder from a copy, or give --accept-loss once to go on without them", data, strings.Join(lost, "\n  "))
}

// declare makes every bucket, or brings it to its declaration.
func (s *Store) declare(ctx context.Context, storage jetstream.StorageType, flag string) error {
	for i, spec := range specs {
		b := &Bucket{store: s, place: i, spec: spec}
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			b.stream, err = s.js.CreateOrUpdateStream(ctx, spec.stream(storage, s.replicas))
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: bucket %s with %d copies: %w", flag, spec.name, s.replicas, err)
		}
		err = s.ask(ctx, func(ctx context.Context) (err error) {
			if b.kv, err = s.js.KeyValue(ctx, spec.name); err == nil {
				b.quick, err = s.quick.KeyValue(ctx, spec.name)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: bucket %s: %w", flag, spec.name, err)
		}
		s.buckets = append(s.buckets, b)
	}
	return nil
}

// identity reads what the store is: its format, the secret for keyed hashes, and the epoch that cursors are bound to. The
// first one here writes them.
func (s *Store) identity(ctx context.Context, lost []string) error {
	format, err := s.keep(ctx, "format", strconv.AppendInt(nil, layout, 10))
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(string(format)); err != nil || n > layout {
		return fmt.Errorf("the store is of format %q; this amlgate knows %d at most, a newer one wrote it", format, layout)
	}
	secret, err := s.keep(ctx, "secret", random(len(s.secret)))
	if err != nil {
		return err
	}
	copy(s.secret[:], secret)
	epoch, err := s.keep(ctx, "epoch", random(len(s.epoch)))
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		// Revisions are counted on from what is left, so the same numbers will stand for other things.
		for _, l := range lost {
			s.log.Error("going on with a loss (--accept-loss)", "missing", l)
		}
		epoch = random(len(s.epoch))
		if err := s.replace(ctx, "epoch", epoch); err != nil {
			return err
		}
	}
	copy(s.epoch[:], epoch)
	if s.mark == nil {
		return nil
	}
	last := make([]uint64, len(specs))
	for i, b := range s.buckets {
		if last[i], err = b.Last(ctx); err != nil {
			return err
		}
	}
	return s.mark.set(last)
}

// keep returns a key's value in the meta bucket, written now if there was none.
func (s *Store) keep(ctx context.Context, key string, value []byte) ([]byte, error) {
	meta := s.buckets[0]
	for {
		e, err := meta.Get(ctx, key)
		if err == nil {
			return e.Value, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if _, err = meta.Create(ctx, key, value); err == nil {
			return value, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
	}
}

func (s *Store) replace(ctx context.Context, key string, value []byte) error {
	e, err := s.buckets[0].Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = s.buckets[0].Update(ctx, key, value, e.Revision)
	return err
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// Jobs is the bucket of job records.
func (s *Store) Jobs() *Bucket { return s.buckets[1] }

// Requests is the bucket of request ids; what is in it is gone after RequestsAge.
func (s *Store) Requests() *Bucket { return s.buckets[2] }

// Secret is a key for keyed hashes, the same on every replica and after a restart.
func (s *Store) Secret() [32]byte { return s.secret }

// Epoch names the life of a bucket: it differs once the bucket was made anew, or revisions were lost and are used again.
func (s *Store) Epoch(b *Bucket) uint64 {
	h := sha256.New()
	h.Write(s.epoch[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(b.stream.CachedInfo().Created.UnixNano())))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// Alone reports whether no other process can use this store at the same time.
func (s *Store) Alone() bool { return s.server != nil }

// Full returns why new work should be refused, nil while there is room. The error is an ErrFull.
func (s *Store) Full() error {
	if err := s.full.Load(); err != nil {
		return *err
	}
	return nil
}

// Ready reports whether the store can be asked now.
func (s *Store) Ready() bool { return s.Err() == nil && s.conn != nil && s.conn.IsConnected() }

// Failed is closed when the store cannot go on in this process; Err says why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is why the store cannot go on, nil while it can.
func (s *Store) Err() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *Store) fail(err error) {
	s.once.Do(func() {
		s.err.Store(&err)
		close(s.failed)
	})
}

// Close ends the store; what was acknowledged is on the disk.
func (s *Store) Close() {
	s.closing.Do(s.close)
}

func (s *Store) close() {
	close(s.ended)
	s.guard.Wait()
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	s.mark.close()
	if s.temp != "" {
		_ = os.RemoveAll(s.temp)
	}
	if s.folder != nil {
		s.folder.close()
	}
}

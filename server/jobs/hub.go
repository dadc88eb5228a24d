package jobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/amlgate/amlgate/server/store"
)

// Ask reads a job's state from the upstream with a caller's header.
type Ask func(ctx context.Context, key Key, header http.Header) (Job, error)

// The ways in which asking fails, told apart by the upstream's client. Any other error is an upstream that is not there
// for now.
var (
	ErrDenied = errors.New("the credential does not open this job")
	ErrGone   = errors.New("the upstream does not know this job")
)

// ErrRefused is a start that surely did not happen; a start that fails otherwise may have.
var ErrRefused = errors.New("the upstream did not take it")

// ErrStarted is an ErrRefused because the job was started before.
var ErrStarted = errors.New("the upstream says that the job was started before")

// RetryAfter is an error that says when to ask again.
type RetryAfter interface {
	error
	After() time.Duration
}

// Upstream is what a hub watches.
type Upstream struct {
	// Name tells one upstream's jobs from another's in the journal; letters, digits and "-".
	Name string

	// Ask reads a job.
	Ask Ask

	// Managed says that the server holds the credential: callers are let in by the front, and the header given to Ask
	// does not matter.
	Managed bool
}

// Config says how a Hub watches. A zero takes the default; the tags are the command line's.
type Config struct {
	// PollMin is the time between two polls while a job moves, PollMax while it does not.
	PollMin time.Duration `name:"poll-min" default:"1s" help:"Time between two polls of a watched job that moves."`
	PollMax time.Duration `name:"poll-max" default:"15s" help:"Time between two polls of a watched job that does not move."`

	// Heartbeat is how often a watcher hears something while nothing changes.
	Heartbeat time.Duration `name:"heartbeat" default:"15s" help:"How often a watcher hears something while nothing changes."`

	// ProofAge is how long a credential that opened a job counts as proof.
	ProofAge time.Duration `name:"proof-age" default:"10m" help:"How long a key that opened a job is taken to open it still."`

	// MaxAge is when a watch ends so that its caller comes back with a cursor, give or take a fifth.
	MaxAge time.Duration `name:"max-watch-age" default:"45m" help:"When a watch ends so that its caller comes back, give or take a fifth."`

	// MaxWatches and MaxWatchesPerKey bound the watches open at a time, in all and per credential.
	MaxWatches       int `name:"max-watches" default:"20000" help:"Most watches open at a time."`
	MaxWatchesPerKey int `name:"max-watches-per-key" default:"2000" help:"Most watches open at a time with one key."`

	// MaxPolls bounds the polls under way at a time.
	MaxPolls int `name:"max-polls" default:"256" help:"Most polls of watched jobs under way at a time."`
}

func (c *Config) fill() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.PollMin, time.Second}, {&c.PollMax, 15 * time.Second}, {&c.Heartbeat, 15 * time.Second}, {&c.ProofAge, 10 * time.Minute}, {&c.MaxAge, 45 * time.Minute}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.MaxWatches <= 0 {
		c.MaxWatches = 20000
	}
	if c.MaxWatchesPerKey <= 0 {
		c.MaxWatchesPerKey = 2000
	}
	if c.MaxPolls <= 0 {
		c.MaxPolls = 256
	}
}

// Hub has the journal and the feeds. It is safe for use by many goroutines.
type Hub struct {
	cfg      Config
	upstream Upstream
	log      *slog.Logger
	owners   owners
	store    *store.Store
	journal  *turns
	requests *turns
	names    names
	epoch    epoch
	instance string // this process, among those that share the store
	alone    bool   // no other process shares it, so that what another began ended with it
	queue    *store.Queue

	// ctx ends when the hub drains; what is asked or heard in the background hangs on it.
	ctx    context.Context
	cancel context.CancelFunc
	loaded chan struct{} // closed once the index has every record
	wake   chan struct{} // something for the scheduler to look at
	missed chan struct{} // the queue did not take a job
	work   sync.WaitGroup

	mu       sync.Mutex
	index    index
	seen     uint64 // the highest revision heard from the store
	feeds    map[Key]*feed
	due      schedule
	asking   int // questions of the scheduler and the queue under way
	proofs   map[proof]time.Time
	interest map[Key]time.Time // until when some other replica's watchers want a job's news, managed mode
	watches  int
	perOwner map[Owner]int
	stopped  bool

	draining chan struct{}
	flights  singleflight.Group
	locks    locks
}

// NewHub returns a hub on a store. It must be drained, before the store is closed.
func NewHub(st *store.Store, up Upstream, cfg Config, log *slog.Logger) (*Hub, error) {
	cfg.fill()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		cfg: cfg, upstream: up, log: log, owners: owners{st.Secret()},
		store: st, journal: newTurns(st.Jobs()), requests: newTurns(st.Requests()), names: names{up.Name + "."},
		epoch: epoch(st.Epoch(st.Jobs())).of(up.Name), instance: newInstance(), alone: st.Alone(),
		ctx: ctx, cancel: cancel, loaded: make(chan struct{}), wake: make(chan struct{}, 1), missed: make(chan struct{}, 1),
		index: newIndex(), feeds: map[Key]*feed{}, proofs: map[proof]time.Time{}, interest: map[Key]time.Time{}, perOwner: map[Owner]int{},
		draining: make(chan struct{}), locks: locks{held: map[string]chan struct{}{}},
	}
	followed := h.journal.Follow(ctx, h.heard, h.current)
	h.work.Go(func() { <-followed })
	h.work.Go(h.dispatch)
	h.work.Go(h.tend)
	if up.Managed {
		if err := h.manage(); err != nil {
			h.Drain()
			return nil, err
		}
	}
	return h, nil
}

func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// heard takes in a record from the store.
func (h *Hub) heard(e store.Entry) {
	h.apply(e)
	h.mu.Lock()
	h.seen = max(h.seen, e.Revision)
	h.mu.Unlock()
}

// current is told once every record there was has been heard.
func (h *Hub) current() {
	h.mu.Lock()
	h.index.sort()
	h.mu.Unlock()
	close(h.loaded)
}

// Loaded is closed once every record has been read, and lists are whole.
func (h *Hub) Loaded() <-chan struct{} { return h.loaded }

// awaitLoaded waits until the index has every record.
func (h *Hub) awaitLoaded(ctx context.Context) error {
	select {
	case <-h.loaded:
		return nil
	default:
	}
	select {
	case <-h.loaded:
		return nil
	case <-h.draining:
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	}
}

// catchUp waits until the index has every record that was written before now, by whomever.
func (h *Hub) catchUp(ctx context.Context) error {
	last, err := h.journal.Last(ctx)
	if err != nil {
		return err
	}
	for {
		h.mu.Lock()
		seen := h.seen
		h.mu.Unlock()
		if seen >= last {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-h.draining:
			return ErrDraining
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Owner returns what stands for the credential in a header. In managed mode there is one owner.
func (h *Hub) Owner(header http.Header) Owner {
	if h.upstream.Managed {
		return h.owners.of("managed")
	}
	return h.owners.of(header.Get("Authorization"))
}

// Managed reports whether the server holds the upstream's credential.
func (h *Hub) Managed() bool { return h.upstream.Managed }

// Room returns why no job can be kept now, nil where one can. Errors are the store's.
func (h *Hub) Room() error {
	switch {
	case h.store.Full() != nil:
		return h.store.Full()
	case !h.store.Ready():
		return store.ErrUnavailable
	}
	return nil
}

// Drain ends every watch with its reason and takes no new ones. It returns when nothing runs in the background any more.
func (h *Hub) Drain() {
	h.mu.Lock()
	if !h.stopped {
		h.stopped = true
		close(h.draining)
		h.cancel()
		for _, f := range h.feeds {
			f.wake()
		}
	}
	h.mu.Unlock()
	h.work.Wait()
}

// background runs do unless the hub is draining; Drain waits for it.
func (h *Hub) background(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.work.Go(do)
	}
}

// Moved says that a job was just started, cancelled or removed: if it is watched, it is asked about at once.
func (h *Hub) Moved(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[key]; f != nil {
		h.kick(f)
	}
}

// Deleted says that a job was just cancelled or removed with a caller's header, which the upstream does not tell apart.
// It is asked about in the background, so that a removed job does not stay in the list.
func (h *Hub) Deleted(key Key, header http.Header) {
	h.mu.Lock()
	f, known := h.feeds[key], h.index.entries[key] != nil
	if f != nil {
		h.kick(f)
	}
	h.mu.Unlock()
	if f != nil || !known {
		return
	}
	owner := h.Owner(header)
	h.background(func() {
		if errors.Is(h.read(h.ctx, key, owner, header), ErrGone) {
			h.Gone(h.ctx, key, owner)
		}
	})
}

// State returns the journal's state of a job, 0 where it has none.
func (h *Hub) State(key Key) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.index.entries[key]; e != nil {
		return e.Job.State
	}
	return 0
}

// List returns a page of the jobs that a filter lets through, newest first, and the next page's token. Errors are
// ErrPageToken, ErrDraining and the context's.
func (h *Hub) List(ctx context.Context, f Filter, size int, token string) ([]Job, string, error) {
	if err := h.awaitLoaded(ctx); err != nil {
		return nil, "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.index.page(f, size, token)
}

// LimitError says which bound on open watches was reached.
type LimitError struct {
	Name  string
	Limit int
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%d watches are open already (%s); close one or come back later", e.Limit, e.Name)
}

// ErrDraining is returned for a watch that comes when the hub has stopped.
var ErrDraining = errors.New("this server is stopping")

// reserve counts a watch in, or says which limit it would break.
func (h *Hub) reserve(owner Owner) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return ErrDraining
	case h.watches >= h.cfg.MaxWatches:
		return &LimitError{"--max-watches", h.cfg.MaxWatches}
	case h.perOwner[owner] >= h.cfg.MaxWatchesPerKey:
		return &LimitError{"--max-watches-per-key", h.cfg.MaxWatchesPerKey}
	}
	h.watches++
	h.perOwner[owner]++
	return nil
}

func (h *Hub) release(owner Owner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches--
	if h.perOwner[owner]--; h.perOwner[owner] == 0 {
		delete(h.perOwner, owner)
	}
}

// Watches is how many watches are open.
func (h *Hub) Watches() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watches
}

// jitter returns d give or take a share of it, so that many do not do the same at the same time.
func jitter(d time.Duration, share float64) time.Duration {
	return d + time.Duration((mathrand.Float64()*2-1)*share*float64(d))
}

package jobs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Ask reads a job's state from the upstream with a caller's header.
type Ask func(ctx context.Context, key Key, header http.Header) (Job, error)

// The ways in which asking fails, told apart by the upstream's client. Any other error is an upstream that is not there
// for now.
var (
	ErrDenied = errors.New("the credential does not open this job")
	ErrGone   = errors.New("the upstream does not know this job")
)

// RetryAfter is an error that says when to ask again.
type RetryAfter interface {
	error
	After() time.Duration
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
}

// Hub has the journal and the feeds. It is safe for use by many goroutines.
type Hub struct {
	cfg    Config
	ask    Ask
	owners owners
	epoch  epoch

	mu       sync.Mutex
	journal  journal
	revision uint64 // of the last change of any job
	feeds    map[Key]*feed
	proofs   map[proof]time.Time
	watches  int
	perOwner map[Owner]int
	draining chan struct{}
	stopped  bool
	polls    sync.WaitGroup
	flights  singleflight.Group
}

// NewHub returns a hub that asks by ask.
func NewHub(cfg Config, ask Ask) *Hub {
	cfg.fill()
	var b [8]byte
	_, _ = rand.Read(b[:])
	return &Hub{
		cfg: cfg, ask: ask, owners: newOwners(), epoch: epoch(binary.BigEndian.Uint64(b[:])),
		journal: journal{records: map[Key]*record{}}, feeds: map[Key]*feed{}, proofs: map[proof]time.Time{}, perOwner: map[Owner]int{},
		draining: make(chan struct{}),
	}
}

// Owner returns what stands for the credential in a header.
func (h *Hub) Owner(header http.Header) Owner { return h.owners.of(header.Get("Authorization")) }

// Drain ends every watch with its reason and takes no new ones. It returns when no poll runs any more.
func (h *Hub) Drain() {
	h.mu.Lock()
	if !h.stopped {
		h.stopped = true
		close(h.draining)
	}
	for _, f := range h.feeds {
		f.stop()
	}
	h.mu.Unlock()
	h.polls.Wait()
}

// Submitted keeps a job that was just created.
func (h *Hub) Submitted(key Key, owner Owner) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(key, now)
	r.owner, r.owned, r.submitted = owner, true, now
	if r.job.State == 0 {
		r.job.State, r.job.Word, r.job.Created = NotStarted, "NotStarted", now
	}
}

// record returns a job's record, a new one if need be.
func (h *Hub) record(key Key, now time.Time) *record {
	r, ok := h.journal.records[key]
	if !ok {
		if len(h.journal.records) >= maxRecords {
			h.journal.forget(now, func(k Key) bool { return h.feeds[k] != nil })
		}
		r = &record{job: Job{Key: key}, submitted: now}
		h.journal.records[key] = r
	}
	r.touched = now
	return r
}

// Observed takes in what the upstream just told a caller of a job, so that the list is right and watchers need not wait
// for the next poll. A job that nobody submitted here and nobody watches is not kept.
func (h *Hub) Observed(job Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal.records[job.Key] != nil || h.feeds[job.Key] != nil {
		h.observe(job)
	}
}

// observe notes an observation and, if it tells anything new, wakes the watchers.
func (h *Hub) observe(job Job) {
	r := h.record(job.Key, job.Observed)
	f := h.feeds[job.Key]
	if f != nil {
		f.stale = ""
	}
	// A job only moves forward. An answer that says otherwise was overtaken by another on its way here, or the upstream
	// wavers; either would show watchers a job that runs again.
	if job.State.rank() < r.job.State.rank() {
		return
	}
	// Of two answers that overlap in time nobody knows which is the older; only one that moves the job on is taken.
	if job.State.rank() == r.job.State.rank() && r.revision > 0 && !job.Asked.IsZero() && job.Asked.Before(r.job.Observed) {
		return
	}
	changed := r.revision == 0 || !r.job.same(job)
	if changed && r.revision > 0 && r.job.State.Ended() {
		return // it has ended and was told so
	}
	r.job = job
	if changed {
		h.revision++
		r.revision, r.prev = h.revision, r.revision
		if f != nil {
			f.add(change{r.revision, r.prev, job})
		}
	}
}

// Gone takes in that the upstream does not know a job any more.
func (h *Hub) Gone(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.journal.records, key)
	if f := h.feeds[key]; f != nil {
		f.end(EndGone, "the upstream does not know the job any more")
	}
}

// Moved says that a job was just started, cancelled or removed: if it is watched, it is asked about at once.
func (h *Hub) Moved(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[key]; f != nil {
		f.kick()
	}
}

// Deleted says that a job was just cancelled or removed with a caller's header, which the upstream does not tell apart.
// It is asked about in the background, so that a removed job does not stay in the list.
func (h *Hub) Deleted(key Key, header http.Header) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.feeds[key] != nil:
		h.feeds[key].kick()
	case h.journal.records[key] != nil && !h.stopped:
		owner := h.Owner(header)
		h.polls.Go(func() {
			if errors.Is(h.read(context.Background(), key, owner, header), ErrGone) {
				h.Gone(key)
			}
		})
	}
}

// State returns the journal's state of a job, 0 where it has none.
func (h *Hub) State(key Key) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.journal.records[key]; r != nil {
		return r.job.State
	}
	return 0
}

// List returns a page of the jobs that a filter lets through, newest first, and the next page's token. The error is
// ErrPageToken.
func (h *Hub) List(f Filter, size int, token string) ([]Job, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.journal.list(f, size, token)
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

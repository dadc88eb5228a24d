package blob

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// store holds every container. What it hands out is never changed again: blobs
// are replaced, so a reader needs no lock once it has one.
type store struct {
	limit int64 // of used

	mu         sync.Mutex
	used       int64 // what everything costs, and what uploads under way have reserved
	tick       int64 // the last ETag
	containers map[string]*container
}

// container is a container; fields are read and written under the store's lock.
type container struct {
	stamp
	metadata metadata
	names    []string // of entries, sorted
	entries  map[string]*entry
}

// entry is what has a blob's name: the blob, blocks that are to become one, or
// both.
type entry struct {
	blob    *blob            // nil until something was committed
	pending map[string]block // uncommitted, by id
	order   []string         // ids of pending, as they came
	touched time.Time        // when a block came last
}

// blob is a committed block blob.
type blob struct {
	stamp
	created    time.Time
	content    content
	properties properties
	metadata   metadata
	blocks     []block // none after Put Blob
	cost       int64
}

// block is a part of a blob. Its id is in base64, as clients write it.
type block struct {
	id      string
	content content
	cost    int64
}

// stamp is a version of a container or blob.
type stamp struct {
	etag     string // quoted
	modified time.Time
}

// Every thing costs something, or empty blobs would be without bound.
const (
	blobCost  = 1024
	blockCost = 256
)

// pendingAge is how long uncommitted blocks are kept, as in Azure. They are
// only looked for when there is no room.
const pendingAge = 7 * 24 * time.Hour

func (e *entry) pendingCost() int64 {
	var sum int64
	for _, b := range e.pending {
		sum += b.cost
	}
	return sum
}

// stamped makes the next version. ETags are Azure's: the time in hexadecimal,
// here never the same twice.
func (s *store) stamped() stamp {
	now := time.Now().UTC()
	const toYear1 = 621355968000000000 // ticks of 100 ns from the year 1 to 1970
	s.tick = max(s.tick+1, now.UnixNano()/100+toYear1)
	return stamp{etag: fmt.Sprintf(`"0x%X"`, s.tick), modified: now.Truncate(time.Second)}
}

func (t stamp) write(h http.Header) {
	h.Set("Etag", t.etag)
	h.Set("Last-Modified", t.modified.Format(http.TimeFormat))
}

// reserve sets n bytes aside for an upload; what reserve took, the caller gives
// back by release or puts in the place of it what was stored.
func (s *store) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.limit-s.used {
		s.dropStale()
	}
	if n > s.limit-s.used {
		return s.full()
	}
	s.used += n
	return nil
}

func (s *store) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// dropStale forgets blocks that nobody committed in time.
func (s *store) dropStale() {
	before := time.Now().Add(-pendingAge)
	for _, c := range s.containers {
		for _, name := range slices.Clone(c.names) {
			e := c.entries[name]
			if len(e.pending) > 0 && e.touched.Before(before) {
				s.used -= e.pendingCost()
				e.pending, e.order = nil, nil
				c.tidy(name)
			}
		}
	}
}

// find returns a container.
func (s *store) find(name string) (*container, error) {
	c := s.containers[name]
	if c == nil {
		return nil, containerNotFound
	}
	return c, nil
}

// exists is for uploads: nothing is read for a container that is not there.
func (s *store) exists(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.find(name)
	return err
}

// entry returns what has the name, or an empty entry that is not in the
// container until insert.
func (c *container) entry(name string) *entry {
	if e := c.entries[name]; e != nil {
		return e
	}
	return &entry{}
}

func (c *container) insert(name string, e *entry) {
	if c.entries[name] == nil {
		at, _ := slices.BinarySearch(c.names, name)
		c.names = slices.Insert(c.names, at, name)
	}
	c.entries[name] = e
}

// tidy forgets an entry that holds nothing.
func (c *container) tidy(name string) {
	if e := c.entries[name]; e == nil || e.blob != nil || len(e.pending) > 0 {
		return
	}
	delete(c.entries, name)
	if at, found := slices.BinarySearch(c.names, name); found {
		c.names = slices.Delete(c.names, at, at+1)
	}
}

// change replaces a blob by what edit makes of a copy, under the conditions of
// the call.
func (s *store) change(c *call, edit func(*blob)) (*blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := s.find(c.container)
	if err != nil {
		return nil, err
	}
	e := in.entry(c.blob)
	if e.blob == nil {
		return nil, blobNotFound
	}
	if err := c.checkWrite(&e.blob.stamp, conditionNotMet); err != nil {
		return nil, err
	}
	next := *e.blob
	edit(&next)
	next.cost += next.metadata.size() - e.blob.metadata.size() + next.properties.size() - e.blob.properties.size()
	if next.cost-e.blob.cost > s.limit-s.used {
		return nil, s.full()
	}
	s.used += next.cost - e.blob.cost
	next.stamp = s.stamped()
	e.blob = &next
	return e.blob, nil
}

// commit puts a blob in the place of what has its name, uncommitted blocks
// included. make gets the entry and makes the blob; reserved is given back
// with it.
func (s *store) commit(c *call, reserved int64, make func(*entry) (*blob, error)) (*blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= reserved
	in, err := s.find(c.container)
	if err != nil {
		return nil, err
	}
	e := in.entry(c.blob)
	var old *stamp
	freed := e.pendingCost()
	if e.blob != nil {
		old = &e.blob.stamp
		freed += e.blob.cost
	}
	if old != nil && c.mayCreate {
		return nil, overwriteRefused
	}
	if err := c.checkWrite(old, blobAlreadyExists); err != nil {
		return nil, err
	}
	b, err := make(e)
	if err != nil {
		return nil, err
	}
	b.cost += blobCost + int64(len(c.blob)) + b.metadata.size() + b.properties.size()
	if b.content.size > s.limit || b.cost-freed > s.limit-s.used {
		return nil, s.full()
	}
	s.used += b.cost - freed
	b.stamp = s.stamped()
	b.created = b.modified
	if e.blob != nil {
		b.created = e.blob.created
	}
	e.blob, e.pending, e.order = b, nil, nil
	in.insert(c.blob, e)
	return b, nil
}

// stage keeps an uncommitted block, which may replace one of the same id.
func (s *store) stage(c *call, b block, reserved int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= reserved
	in, err := s.find(c.container)
	if err != nil {
		return err
	}
	e := in.entry(c.blob)
	for id := range maps.Keys(e.pending) {
		if len(id) != len(b.id) { // all ids of a blob must be of one length
			return invalidBlobOrBlock
		}
		break
	}
	old, again := e.pending[b.id]
	cost := b.cost
	switch {
	case again:
		cost -= old.cost
	case len(e.pending) >= maxPending:
		return blockCountExceeded
	}
	if cost > s.limit-s.used {
		return s.full()
	}
	s.used += cost
	if e.pending == nil {
		e.pending = map[string]block{}
	}
	if !again {
		e.order = append(e.order, b.id)
	}
	e.pending[b.id], e.touched = b, time.Now()
	in.insert(c.blob, e)
	return nil
}

// read returns a blob under the read conditions of the call.
func (s *store) read(c *call) (*blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := s.find(c.container)
	if err != nil {
		return nil, err
	}
	b := in.entry(c.blob).blob
	if b == nil {
		if err := c.checkRead(nil); err != nil {
			return nil, err
		}
		return nil, blobNotFound
	}
	return b, c.checkRead(&b.stamp)
}

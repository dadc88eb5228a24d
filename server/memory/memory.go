// Package memory lends the buffers that bodies lie in while a call is under way, and bounds how many bytes are lent at a
// time. It is no allocator: a buffer has one borrower at the start and goes back when the last one releases it.
//
// Buffers that came back are kept for the next borrower for as long as there is use for them: those that nobody wanted
// for a while are left to the garbage collector. A sync.Pool would not do, since each collection empties it, and buffers
// of this size, made anew, bring on the next one.
//
// Buffers are heap to the garbage collector, which lets as much garbage gather as there is heap; Pool.Pace makes up for that.
//
// A released buffer is somebody else's at once. Builds with the race detector overwrite it before that, so that a test
// which still looks at it sees rubbish.
package memory

import (
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull is returned where a loan would pass the bound, or has more than 2 GiB. Nothing is lent then.
var ErrFull = errors.New("too many bytes of bodies are in flight")

// Sizes grow by a quarter of a power of two, so that a buffer is at most a quarter larger than what was asked for.
const (
	minBits = 11 // 2 KiB, the smallest buffer
	maxBits = 31
	steps   = 4
)

// idle is how long a buffer is kept that nobody wants.
const idle = 5 * time.Second

// class returns the smallest class that holds n bytes, and its size.
func class(n int) (c, size int) {
	if n <= 1<<minBits {
		return 0, 1 << minBits
	}
	top := bits.Len(uint(n-1)) - 1 // n is in (2^top, 2^(top+1)]
	step := 1 << top / steps
	k := (n - 1<<top + step - 1) / step
	return (top-minBits)*steps + k, 1<<top + k*step
}

// sizeOf is the size of a class's buffers.
func sizeOf(c int) int64 {
	top, k := minBits+c/steps, c%steps
	return 1<<top + int64(k)<<top/steps
}

// Pool lends buffers. Its methods are safe for use by many goroutines.
type Pool struct {
	limit, admitted int64
	lent            atomic.Int64
	shelves         [(maxBits-minBits)*steps + 1]shelf
	trimming        atomic.Bool // a trim is to come
	pace            pacer
}

// shelf holds the buffers of one class that came back.
type shelf struct {
	mu   sync.Mutex
	free []*Buffer // the last to come back is the first to be lent, since it is warm
	low  int       // the fewest there were since the last trim: that many nobody wanted
}

func (s *shelf) take() *Buffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free) - 1
	if n < 0 {
		return nil
	}
	b := s.free[n]
	s.free[n], s.free = nil, s.free[:n]
	s.low = min(s.low, n)
	return b
}

func (s *shelf) put(b *Buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, b)
}

// trim drops what nobody wanted since the last trim. It returns how many buffers it dropped and how many are left.
func (s *shelf) trim() (dropped, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped = s.low
	left = copy(s.free, s.free[s.low:]) // the coldest lie at the bottom
	clear(s.free[left:])
	s.free, s.low = s.free[:left], left
	return dropped, left
}

// trim drops idle buffers, and comes again while there are buffers to watch.
func (p *Pool) trim() {
	p.trimming.Store(false) // whoever puts a buffer where this has looked already sees to the next trim
	kept := 0
	for c := range p.shelves {
		dropped, left := p.shelves[c].trim()
		p.pace.shrink(int64(dropped) * sizeOf(c))
		kept += left
	}
	p.pace.check()
	if kept > 0 {
		p.trimLater()
	}
}

// trimLater has trim come, unless it is to come already.
func (p *Pool) trimLater() {
	if !p.trimming.Load() && p.trimming.CompareAndSwap(false, true) {
		time.AfterFunc(idle, p.trim)
	}
}

// NewPool returns a pool that lends at most limit bytes at a time, counted as the sizes of the buffers.
func NewPool(limit int64) *Pool {
	return &Pool{limit: limit, admitted: limit / 4 * 3}
}

// Admit lends a buffer of n bytes to a new call. New calls have three quarters of the pool: the rest is kept for the
// answers of those that are under way, which have cost something already. The error is ErrFull.
func (p *Pool) Admit(n int) (*Buffer, error) { return p.lend(n, p.admitted) }

// Lend lends a buffer of n bytes to a call that is under way. The error is ErrFull.
func (p *Pool) Lend(n int) (*Buffer, error) { return p.lend(n, p.limit) }

func (p *Pool) lend(n int, limit int64) (*Buffer, error) {
	if n > 1<<maxBits {
		return nil, ErrFull
	}
	c, size := class(n)
	if p.lent.Add(int64(size)) > limit {
		p.lent.Add(-int64(size))
		return nil, ErrFull
	}
	b := p.shelves[c].take()
	if b == nil {
		p.pace.grow(int64(size))
		b = &Buffer{class: c, pool: p, size: int64(size), whole: make([]byte, size)}
	}
	b.B = b.whole[:n]
	b.users.Store(1)
	return b, nil
}

// Lent is how many bytes are lent, Limit how many may be.
func (p *Pool) Lent() int64 { return p.lent.Load() }

// Limit is how many bytes may be lent at a time.
func (p *Pool) Limit() int64 { return p.limit }

// Buffer is a loan. Its bytes are not zeroed: a borrower reads only what it wrote.
type Buffer struct {
	// B is what was asked for; it may be cut, or lengthened within its capacity, but not replaced by another slice. It is
	// empty for a buffer that was adopted.
	B []byte

	// Pieces are the bytes of a buffer that was adopted, in order; only to be read.
	Pieces [][]byte

	class int
	whole []byte
	size  int64 // what it counts for
	free  func()
	pool  *Pool
	users atomic.Int32
}

// Adopt counts n bytes that somebody else lent, in pieces, to a new call. The last user's release calls free, once. The
// error is ErrFull; free is the caller's to call then.
func (p *Pool) Adopt(pieces [][]byte, n int, free func()) (*Buffer, error) {
	if p.lent.Add(int64(n)) > p.admitted {
		p.lent.Add(-int64(n))
		return nil, ErrFull
	}
	p.pace.grow(int64(n))
	b := &Buffer{Pieces: pieces, size: int64(n), free: free, pool: p}
	b.users.Store(1)
	return b, nil
}

// Retain adds a user, who must release the buffer too. A nil Buffer needs none.
func (b *Buffer) Retain() {
	if b != nil {
		b.users.Add(1)
	}
}

// Release ends one user's use; with the last one the buffer goes back. A nil Buffer has nothing to release.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	switch n := b.users.Add(-1); {
	case n < 0:
		panic("memory: a buffer was released more often than it was lent")
	case n > 0:
		return
	}
	p := b.pool
	p.lent.Add(-b.size)
	if b.free != nil {
		p.pace.shrink(b.size)
		b.free()
		p.trimLater() // which takes it into account
		return
	}
	poison(b.whole)
	b.B = nil
	p.shelves[b.class].put(b)
	p.trimLater()
}

// Forget ends the loan of a buffer that somebody may still read but will never release: it counts no more and is not
// lent again. Nobody may release it after that.
func (b *Buffer) Forget() {
	b.pool.lent.Add(-b.size)
	b.pool.pace.shrink(b.size)
	b.pool.trimLater()
}

// Grow returns a buffer of n bytes, as Lend does, that begins with the bytes of b, and releases b; b itself if it is
// large enough. On ErrFull b is as it was.
func (b *Buffer) Grow(n int) (*Buffer, error) {
	if n <= len(b.whole) {
		b.B = b.whole[:n]
		return b, nil
	}
	larger, err := b.pool.Lend(n)
	if err != nil {
		return nil, err
	}
	copy(larger.B, b.B)
	b.Release()
	return larger, nil
}

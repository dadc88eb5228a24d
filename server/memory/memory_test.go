package memory

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestClassesFit(t *testing.T) {
	last := -1
	for n := 1; n < 3<<20; n += 1 + n/1000 {
		c, size := class(n)
		if size < n || n > 1<<minBits && size > n+n/4+1 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
		if sizeOf(c) != int64(size) {
			t.Fatalf("class %d has buffers of %d bytes, its size is told as %d", c, size, sizeOf(c))
		}
		if again, same := class(size); again != c || same != size {
			t.Fatalf("class %d has buffers of %d bytes, which are class %d's of %d", c, size, again, same)
		}
		if c < last {
			t.Fatalf("class %d for %d bytes comes after class %d", c, n, last)
		}
		last = c
	}
	if c, size := class(1 << 30); size != 1<<30 || c >= len((&Pool{}).shelves) {
		t.Errorf("1 GiB is class %d of %d bytes", c, size)
	}
}

func TestPoolIsBounded(t *testing.T) {
	p := NewPool(64 << 10)
	var lent []*Buffer
	for {
		b, err := p.Admit(4 << 10)
		if err != nil {
			break
		}
		lent = append(lent, b)
	}
	if len(lent) != 12 {
		t.Errorf("%d new calls of 4 KiB are let in, want 12: three quarters of 64 KiB", len(lent))
	}
	for range 4 {
		b, err := p.Lend(4 << 10)
		if err != nil {
			t.Fatalf("an answer finds no place in the last quarter: %v", err)
		}
		lent = append(lent, b)
	}
	if _, err := p.Lend(1); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	for _, b := range lent {
		b.Release()
	}
	if p.Lent() != 0 {
		t.Errorf("%d bytes are still counted", p.Lent())
	}
}

func TestLastReleaseCounts(t *testing.T) {
	p := NewPool(1 << 20)
	b, err := p.Lend(100)
	if err != nil {
		t.Fatal(err)
	}
	b.Retain()
	b.Release()
	if p.Lent() == 0 {
		t.Error("one user is left, and the buffer is counted as returned")
	}
	b.Release()
	if p.Lent() != 0 {
		t.Error("nobody is left, and the buffer is counted as lent")
	}
	defer func() {
		if recover() == nil {
			t.Error("a release too many goes unnoticed")
		}
	}()
	b.Release()
}

func TestForgottenBufferIsNotLentAgain(t *testing.T) {
	p := NewPool(1 << 20)
	b, err := p.Lend(100)
	if err != nil {
		t.Fatal(err)
	}
	b.Forget()
	if p.Lent() != 0 {
		t.Error("it still counts")
	}
	other, err := p.Lend(100)
	if err != nil || &other.B[0] == &b.B[0] {
		t.Errorf("it was lent again (%v)", err)
	}
	other.Release()
}

func TestGrowKeepsBytes(t *testing.T) {
	p := NewPool(1 << 20)
	b, err := p.Lend(3)
	if err != nil {
		t.Fatal(err)
	}
	copy(b.B, "abc")
	for _, n := range []int{5, 3000, 70_000} {
		if b, err = b.Grow(n); err != nil || len(b.B) != n || string(b.B[:3]) != "abc" {
			t.Fatalf("grown to %d: %d bytes that begin with %q, %v", n, len(b.B), b.B[:3], err)
		}
	}
	if _, err := b.Grow(2 << 20); !errors.Is(err, ErrFull) || string(b.B[:3]) != "abc" {
		t.Errorf("grown beyond the pool: %v", err)
	}
	b.Release()
	if p.Lent() != 0 {
		t.Errorf("%d bytes are still counted", p.Lent())
	}
}

func TestNothingHasMoreThanTwoGiB(t *testing.T) {
	if _, err := NewPool(1 << 40).Lend(1<<maxBits + 1); !errors.Is(err, ErrFull) {
		t.Errorf("a buffer of more than 2 GiB: %v, want %v", err, ErrFull)
	}
}

// TestIdleBuffersAreDropped: what was lent at a peak does not stay for ever.
func TestIdleBuffersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1 << 20)
		kept := func() (n int) {
			synctest.Wait() // for a trim that is due now
			for i := range p.shelves {
				p.shelves[i].mu.Lock()
				n += len(p.shelves[i].free)
				p.shelves[i].mu.Unlock()
			}
			return n
		}
		use := func(n int) {
			var lent []*Buffer
			for range n {
				b, err := p.Lend(1000)
				if err != nil {
					t.Fatal(err)
				}
				lent = append(lent, b)
			}
			for _, b := range lent {
				b.Release()
			}
		}
		use(10)
		if kept() != 10 {
			t.Errorf("%d buffers are kept right after their use, want 10", kept())
		}
		for range 3 { // the traffic that is left needs three
			time.Sleep(idle)
			use(3)
		}
		time.Sleep(idle / 2)
		if kept() != 3 {
			t.Errorf("%d buffers are kept where three are in use", kept())
		}
		time.Sleep(3 * idle)
		if kept() != 0 || p.trimming.Load() {
			t.Errorf("%d buffers are kept that nobody wants", kept())
		}
		use(1)
		if kept() != 1 || !p.trimming.Load() {
			t.Error("after a rest nothing is kept, or it would be kept for ever")
		}
		time.Sleep(3 * idle)
	})
}

// TestLoansAreSeparate has many goroutines write and read buffers of their own; -race builds poison what is released.
func TestLoansAreSeparate(t *testing.T) {
	p := NewPool(1 << 30)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 2000 {
				b, err := p.Lend(1 + r.IntN(20_000))
				if err != nil {
					t.Error(err)
					return
				}
				mark := byte(r.IntN(256))
				for i := range b.B {
					b.B[i] = mark
				}
				if bytes.Count(b.B, []byte{mark}) != len(b.B) {
					t.Error("another goroutine wrote into a buffer that is lent")
				}
				b.Release()
			}
		})
	}
	all.Wait()
	if p.Lent() != 0 {
		t.Errorf("%d bytes are still counted", p.Lent())
	}
}

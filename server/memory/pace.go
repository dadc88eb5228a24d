package memory

import (
	"runtime/debug"
	"sync/atomic"
)

// pacer keeps the garbage collector's percentage in step with the bytes that lie in buffers.
type pacer struct {
	base    atomic.Int64 // of Pace, 0 before it
	held    atomic.Int64 // bytes of buffers, lent and kept, and of those that were adopted
	applied atomic.Int64 // held, as the percentage takes it into account
	setting atomic.Bool
}

// leastPercent bounds how often a program that keeps far more than base is collected: four times as often as without Pace.
const leastPercent = 25

// Pace has the pool set the process's garbage collector percentage from now on. Left alone, the collector lets garbage
// gather until the heap has doubled, buffers included, though it has nothing to look for in them and they are used
// again: each byte in flight would take two of the machine's. base is how many bytes the program keeps besides buffers,
// roughly; about as much garbage may gather, however much is in flight, or a quarter of the heap where that is more. A
// memory limit (GOMEMLIMIT) holds all the same.
func (p *Pool) Pace(base int64) {
	p.pace.base.Store(base)
	p.pace.check()
}

// grow counts n more bytes. What is given back is taken into account only at the next trim: it is mostly wanted again at once.
func (p *pacer) grow(n int64) {
	if p.held.Add(n)-p.applied.Load() > p.step() {
		p.check()
	}
}

func (p *pacer) shrink(n int64) { p.held.Add(-n) }

// step is what is too little to set the percentage anew: an eighth more or less garbage.
func (p *pacer) step() int64 { return (p.base.Load() + max(0, p.applied.Load())) / 8 }

// check sets the percentage if enough has changed, in a goroutine of its own: for a moment that stops the world.
func (p *pacer) check() {
	if p.base.Load() == 0 || !p.due() || !p.setting.CompareAndSwap(false, true) {
		return
	}
	go func() {
		held, base := max(0, p.held.Load()), p.base.Load()
		debug.SetGCPercent(max(leastPercent, int((100*base+(base+held)/2)/(base+held))))
		p.applied.Store(held)
		p.setting.Store(false)
		p.check() // what changed meanwhile
	}()
}

func (p *pacer) due() bool {
	change := max(0, p.held.Load()) - p.applied.Load()
	return max(change, -change) > p.step()
}

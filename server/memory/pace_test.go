package memory

import (
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

// percentage is the garbage collector's.
func percentage() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// TestGarbageDoesNotGrowWithBuffers: the more lies in buffers, the smaller a part of the heap may be garbage, and it is
// as it was when they are gone. A pool that nobody asked to sets nothing.
func TestGarbageDoesNotGrowWithBuffers(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	synctest.Test(t, func(t *testing.T) {
		const base, mib = 4 << 20, 1 << 20
		p := NewPool(1 << 30)
		wait := func(when string, want uint64) {
			t.Helper()
			synctest.Wait()
			if got := percentage(); got != want {
				t.Errorf("%s: %d %%, want %d", when, got, want)
			}
		}
		lend := func(size int) *Buffer {
			b, err := p.Lend(size)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		first, second := lend(mib), lend(3*mib)
		wait("not paced", 100)
		p.Pace(base)
		wait("4 MiB from the start", 50)
		third := lend(mib)
		wait("an eighth more", 50)
		fourth := lend(7 * mib)
		wait("12 MiB", 25)
		third.Release()
		fourth.Release()
		wait("4 MiB lent, 8 kept", 25)
		time.Sleep(2*idle + idle/2)
		wait("4 MiB", 50)
		first.Forget()
		second.Release()
		time.Sleep(2 * idle)
		wait("nothing", 100)

		freed := 0
		adopted, err := p.Adopt([][]byte{make([]byte, 10)}, 3*base, func() { freed++ })
		if err != nil {
			t.Fatal(err)
		}
		wait("12 MiB adopted", 25)
		much, err := p.Adopt(nil, 64*base, func() { freed++ })
		if err != nil {
			t.Fatal(err)
		}
		wait("268 MiB", 25)
		much.Release()
		adopted.Release()
		time.Sleep(3 * idle)
		wait("nothing again", 100)
		if held := p.pace.held.Load(); held != 0 || freed != 2 {
			t.Errorf("%d bytes are still held, %d were freed, want 2", held, freed)
		}
	})
}

package server_test

import (
	"math"
	"runtime"
	"testing"
)

// TestAllocationsDoNotGrow holds that a REST call allocates as much with a body of 400 kB each way as with a small one:
// bodies lie in buffers that are lent. Client and upstream are in the same process and allocate nothing.
func TestAllocationsDoNotGrow(t *testing.T) {
	most := 4 << 10 // bytes that a large call may allocate beyond a small one
	if raceDetector {
		most = 16 << 10 // sync.Pool makes the figures go up and down
	}
	perCall := func(w scoringWork) float64 {
		cfg := testConfig()
		cfg.Upstream = cannedUpstream(t, w.answer)
		c := newRawCaller(t, start(t, cfg).HTTPAddr(), w.request)
		return leastAllocated(t, c)
	}
	works := scoringWorks()
	small, large := works[0], works[2]
	a, b := perCall(small), perCall(large)
	t.Logf("%.0f B a call with %d bytes, %.0f B with %d", a, len(small.request), b, len(large.request))
	if b-a > float64(most) {
		t.Errorf("a call with %d bytes allocates %.0f B, one with %d bytes %.0f B: allocations grow with the body", len(small.request), a, len(large.request), b)
	}
}

// leastAllocated is how many bytes a call allocates in the whole process. What comes now and then (a buffer that a
// collection took, a timer) is in some tries and not in others; the least of them is the call's own.
func leastAllocated(t *testing.T, c *rawCaller) float64 {
	t.Helper()
	const tries, calls = 5, 60
	least := math.Inf(1)
	for range tries { // the first warms up
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			if err := c.call(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.TotalAlloc-before.TotalAlloc)/calls)
	}
	return least
}

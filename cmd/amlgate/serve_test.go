package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// The ballast keeps to a part of the memory limit, and gives way to GOGC.
func TestBallast(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, tc := range []struct {
		limit int64
		gogc  string
		want  int
	}{{math.MaxInt64, "", 32 << 20}, {4 << 30, "", 32 << 20}, {256 << 20, "", 8 << 20}, {math.MaxInt64, "100", 0}, {math.MaxInt64, "off", 0}} {
		t.Setenv("GOGC", tc.gogc)
		debug.SetMemoryLimit(tc.limit)
		if n := len(ballast()); n != tc.want {
			t.Errorf("limit %d, GOGC=%q: %d bytes, want %d", tc.limit, tc.gogc, n, tc.want)
		}
	}
}

package logline

import (
	"io"
	"sync"
	"time"
)

// most is how many bytes of lines are gathered before they are written at once.
const most = 32 << 10

// Gatherer is a writer of lines that go on to another writer together, which under load saves a system call a line. Its
// methods are safe for use by many goroutines.
type Gatherer struct {
	w    io.Writer
	late time.Duration

	mu   sync.Mutex
	held []byte
	due  bool // a timer is to write what is held

	out   sync.Mutex // held while lines are written, so that they stay in order
	spare []byte     // what the next lines are held in
}

// NewGatherer returns a Gatherer that writes to w what comes within late, or earlier where that is more than 32 KiB.
// A process that is killed loses as much; one that ends calls Flush.
func NewGatherer(w io.Writer, late time.Duration) *Gatherer { return &Gatherer{w: w, late: late} }

// Write takes whole lines. It waits for w only where there are so many that they are written at once; the error is w's
// then.
func (g *Gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	g.held = append(g.held, p...)
	full, first := len(g.held) >= most, !g.due
	g.due = true
	g.mu.Unlock()
	switch {
	case full:
		return len(p), g.Flush()
	case first:
		time.AfterFunc(g.late, func() { _ = g.Flush() })
	}
	return len(p), nil
}

// Flush writes what is held. The error is that of the writer.
func (g *Gatherer) Flush() error {
	g.out.Lock()
	defer g.out.Unlock()
	g.mu.Lock()
	lines := g.held
	g.held, g.due = g.spare[:0], false
	g.mu.Unlock()
	g.spare = lines
	if len(lines) == 0 {
		return nil
	}
	_, err := g.w.Write(lines)
	return err
}

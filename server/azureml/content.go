package azureml

import (
	"io"
	"slices"
	"sync"

	"github.com/amlgate/amlgate/server/memory"
)

// content is a request's body on its way upstream. The transport may read it when the call has long returned, since an
// upstream may answer before it has read everything: so content keeps the buffer that its bytes lie in until it is closed.
type content struct {
	mu      sync.Mutex // held while somebody reads the bytes, so that closing waits for it
	pieces  [][]byte
	one     [1][]byte      // pieces of a body in one piece
	touched bool           // some of the bytes were read
	lease   *memory.Buffer // nil where the bytes belong to the garbage collector
}

// newContent returns a body that is a user of lease, which may be nil. It is b, or where that is empty the lease's pieces.
func newContent(b []byte, lease *memory.Buffer) *content {
	lease.Retain()
	c := &content{lease: lease}
	if len(b) == 0 {
		c.pieces = slices.Clone(lease.Pieces)
		return c
	}
	c.one[0] = b
	c.pieces = c.one[:]
	return c
}

// Read hands out the next bytes.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = true
	for len(c.pieces) > 0 && len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	c.pieces[0] = c.pieces[0][n:]
	return n, nil
}

// untouched reports whether nothing was read yet.
func (c *content) untouched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.touched
}

// writeAll has write write all that is left.
func (c *content) writeAll(write func(pieces [][]byte) (int64, error)) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = true
	n, err := write(c.pieces)
	c.pieces = nil
	return n, err
}

// Close lets the buffer go. The transport calls it at the end, whatever happens, and sometimes twice.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces, c.one = nil, [1][]byte{}
	c.lease.Release()
	c.lease = nil
	return nil
}

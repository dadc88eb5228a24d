package azureml

import (
	"io"
	"sync"

	"github.com/amlgate/amlgate/server/memory"
)

// content is a request's body on its way upstream. The transport may read it when the call has long returned, since an
// upstream may answer before it has read everything: so content keeps the buffer that its bytes lie in until it is closed.
type content struct {
	mu      sync.Mutex // held while somebody reads the bytes, so that closing waits for it
	rest    []byte
	touched bool           // some of the bytes were read
	lease   *memory.Buffer // nil where the bytes belong to the garbage collector
}

// newContent returns a body that is a user of lease, which may be nil.
func newContent(b []byte, lease *memory.Buffer) *content {
	lease.Retain()
	return &content{rest: b, lease: lease}
}

// Read hands out the next bytes.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest, c.touched = c.rest[n:], true
	return n, nil
}

// untouched reports whether nothing was read yet.
func (c *content) untouched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.touched
}

// writeTo has write write at most limit of the next bytes.
func (c *content) writeTo(limit int64, write func(b []byte) (int64, error)) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = true
	n, err := write(c.rest[:min(int64(len(c.rest)), limit)])
	c.rest = c.rest[n:]
	return n, err
}

// Close lets the buffer go. The transport calls it at the end, whatever happens, and sometimes twice.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = nil
	c.lease.Release()
	c.lease = nil
	return nil
}

package server

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// frames lends grpc-go the buffers that HTTP/2 frames are read into. Its own pool clears each buffer before it is used
// again, which costs a large message as much as a copy of it; here they come as they are, since every frame is read
// over what a buffer held. Larger buffers than a frame's are made as they are needed.
type frames struct{ tiers [len(frameSizes)]sync.Pool }

// frameSizes are a small frame's, a full frame's, and that of the buffers that packed messages are unpacked into.
var frameSizes = [...]int{1 << 10, 16 << 10, 32 << 10}

var _ mem.BufferPool = (*frames)(nil)

// Get returns a buffer of n bytes that holds anything.
func (f *frames) Get(n int) *[]byte {
	for i, size := range frameSizes {
		if n > size {
			continue
		}
		if b, ok := f.tiers[i].Get().(*[]byte); ok {
			*b = (*b)[:n]
			return b
		}
		b := make([]byte, n, size)
		return &b
	}
	b := make([]byte, n)
	return &b
}

// Put takes a buffer back.
func (f *frames) Put(b *[]byte) {
	for i, size := range frameSizes {
		if cap(*b) == size {
			f.tiers[i].Put(b)
			return
		}
	}
}

package azureml

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// newTransport returns how an upstream is reached: HTTP/1.1, as classic services speak it.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &wholeConn{Conn: conn}, nil
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialTLS(ctx, dialer, network, addr)
		},
		TLSHandshakeTimeout: handshakeTimeout, // where there is a proxy in between
		// One upstream, many callers: the default of two idle connections a host would dial for almost every call.
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // gzip passes untouched or not at all
		ReadBufferSize:      32 << 10,
	}
}

const handshakeTimeout = 10 * time.Second

// dialTLS connects and shakes hands.
func dialTLS(ctx context.Context, dialer *net.Dialer, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	// Bodies are read whole before anything is done with them, so small first records would only cost.
	raw := &recordConn{Conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
	secure := tls.Client(raw, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &wholeConn{Conn: secure, raw: raw}, nil
}

// recordConn is what lies below TLS: it reads and writes several records with one system call, where crypto/tls takes one
// for each, or two.
type recordConn struct {
	net.Conn
	reader *bufio.Reader

	mu   sync.Mutex // TLS writes for reasons of its own too, such as new keys
	hold bool       // records are collected in held
	held []byte
}

// maxHeld is from where records that are held are written all the same.
const maxHeld = 64 << 10

func (c *recordConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

func (c *recordConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hold {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	if len(c.held) < maxHeld {
		return len(p), nil
	}
	return len(p), c.flush()
}

// flush writes what is held. The connection is locked.
func (c *recordConn) flush() error {
	held := c.held
	c.held = c.held[:0]
	_, err := c.Conn.Write(held)
	return err
}

// together has what write writes go out with as few system calls as may be.
func (c *recordConn) together(write func() (int64, error)) (int64, error) {
	c.mu.Lock()
	c.hold = true
	c.mu.Unlock()
	n, err := write()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = false
	if err := cmp.Or(err, c.flush()); err != nil {
		return 0, err // nobody knows what of it was written
	}
	return n, nil
}

// wholeConn is an upstream connection that writes a request's head and body in one piece. net/http writes the head of a
// request alone where it does not know the body's type, and hands the body on in pieces of 32 KiB, each copied first
// into a buffer made for it.
//
// It relies on net/http for speed only: where the body comes another way, head and body are written as they come.
type wholeConn struct {
	net.Conn
	raw    *recordConn // below TLS, nil without
	closed atomic.Bool

	// body is the next request's, set before the request is handed to the connection's writer, which is the only one to
	// look at the fields from here on. head is what was written of the request while nobody had touched the body.
	body *content
	head []byte
	vec  net.Buffers // head and body, for one system call
}

// maxRecord is what fits into one record of TLS.
const maxRecord = 16 << 10

// Write writes, or keeps the head of a request whose body is to come.
func (c *wholeConn) Write(p []byte) (int, error) {
	if c.body != nil && c.body.untouched() {
		if c.closed.Load() { // nothing was written, and so the request may go to another connection
			return 0, net.ErrClosed
		}
		c.head = append(c.head, p...)
		return len(p), nil
	}
	if c.body != nil || len(c.head) > 0 {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// flush writes a head that was kept.
func (c *wholeConn) flush() error {
	c.body = nil
	head := c.head
	c.head = c.head[:0]
	_, err := c.Conn.Write(head)
	return err
}

// ReadFrom is called by net/http's writer with a request's body.
func (c *wholeConn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if ok && c.body != nil && limited.R == io.Reader(c.body) { // and the limit is the body's length
		body := c.body
		c.body = nil
		n, err := body.writeAll(c.writeWith)
		limited.N -= n
		return n, err
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return io.Copy(c.Conn, r)
}

// writeWith writes the head that was kept and the pieces of a body, and returns how much of the body was written.
func (c *wholeConn) writeWith(pieces [][]byte) (int64, error) {
	kept := int64(len(c.head))
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	var n int64
	var err error
	if len(c.head)+size <= 2<<10 || c.raw != nil && len(c.head)+size <= maxRecord {
		for _, p := range pieces {
			c.head = append(c.head, p...)
		}
		var written int
		written, err = c.Conn.Write(c.head)
		n = int64(written)
	} else {
		c.vec = append(append(c.vec[:0], c.head), pieces...)
		left := c.vec
		if c.raw != nil {
			n, err = c.raw.together(func() (int64, error) { return left.WriteTo(c.Conn) })
		} else {
			n, err = left.WriteTo(c.Conn)
		}
		clear(c.vec)
	}
	c.head = c.head[:0]
	return max(n-kept, 0), err
}

// Close closes the connection.
func (c *wholeConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

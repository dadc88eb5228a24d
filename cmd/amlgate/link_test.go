package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is a stretch of network that a test can cut: connections to it go on to wherever it leads at the time.
type link struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	cut    bool
	held   chan struct{} // closed when bytes may go on; nil where they may
	conns  map[net.Conn]bool
}

// newLink opens a link that leads nowhere yet.
func newLink(t *testing.T) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, conns: map[net.Conn]bool{}}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.sever()
		work.Wait()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// lead has new connections go to an address.
func (l *link) lead(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// carry carries one connection.
func (l *link) carry(from net.Conn) {
	defer from.Close()
	l.mu.Lock()
	target, cut := l.target, l.cut
	l.mu.Unlock()
	if cut || target == "" {
		return
	}
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return
	}
	l.conns[from], l.conns[to] = true, true
	l.mu.Unlock()
	var work sync.WaitGroup
	work.Go(func() { l.pump(to, from) })
	l.pump(from, to)
	work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, from)
	delete(l.conns, to)
}

// pump carries one direction, and ends both with it.
func (l *link) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil && n == 0 {
			return
		}
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		if held != nil {
			<-held
		}
		if _, err := to.Write(b[:n]); err != nil || err == io.EOF {
			return
		}
	}
}

// sever cuts the link for good or until it is mended: connections break and new ones do.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
	for c := range l.conns {
		_ = c.Close()
	}
}

// hold has the link swallow what comes until it is mended, without a word to either end.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
	}
}

// mend lets everything through again, what was held back before all else.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

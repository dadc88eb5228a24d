package azureml

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// tap is a connection that notes what is written to it. Several pieces that go out as one vector do not come by Write:
// net finds the method for them in the embedded connection.
type tap struct {
	*net.TCPConn
	whole *wholeConn

	mu     sync.Mutex
	writes int
	bytes  []byte
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.bytes = append(c.bytes, p...)
	c.mu.Unlock()
	return c.TCPConn.Write(p)
}

// since returns what was written since the last time.
func (c *tap) since() (writes int, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	writes, b = c.writes, c.bytes
	c.writes, c.bytes = 0, nil
	return writes, b
}

// taps are the connections of a client.
type taps struct {
	mu  sync.Mutex
	all []*tap
}

func (t *taps) add(conn *tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, conn)
}

func (t *taps) list() []*tap {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}

// tappedClient returns a client whose connections are tapped.
func tappedClient(t *testing.T, base string) (*Client, *taps) {
	t.Helper()
	c, err := NewClient(Options{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	list := &taps{}
	dial := c.transport.DialContext
	c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		whole := conn.(*wholeConn)
		tapped := &tap{TCPConn: whole.Conn.(*net.TCPConn), whole: whole}
		whole.Conn = tapped
		list.add(tapped)
		return whole, nil
	}
	return c, list
}

// recorder is an upstream that keeps its requests' bodies.
type recorder struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string // behind METHOD and a blank
}

func newRecorder(t *testing.T, secure bool) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		r.bodies = append(r.bodies, req.Method+" "+string(body))
		r.mu.Unlock()
		if err != nil {
			t.Errorf("the upstream cannot read a request: %v", err)
		}
		_, _ = io.WriteString(w, `{"Results":{}}`)
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

// asked returns the requests since the last time.
func (r *recorder) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	bodies := r.bodies
	r.bodies = nil
	return bodies
}

// letters returns a text of n bytes that shows where a piece is missing or twice.
func letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte((i+i/26+i/5000)%26)
	}
	return string(b)
}

// score sends a body and holds what came against it.
func score(t *testing.T, c *Client, up *recorder, body string) {
	t.Helper()
	answer, err := c.Execute(t.Context(), &Request{Workspace: "w", Service: "s", Body: []byte(body)})
	if err != nil {
		t.Fatalf("%d bytes: %v", len(body), err)
	}
	answer.Release()
	if asked := up.asked(); len(asked) != 1 || asked[0] != "POST "+body {
		t.Errorf("%d bytes: the upstream was asked %d times, or something else", len(body), len(asked))
	}
}

// A request's head and body go out in one write: a small body is copied behind the head, a large one makes a vector of
// the two, which is one call of the system too.
func TestHeadAndBodyAreOneWrite(t *testing.T) {
	up := newRecorder(t, false)
	c, conns := tappedClient(t, up.URL)
	for round := range 3 { // a new connection, then a kept one
		for size, want := range map[int]int{2: 1, 1_000: 1, 19_000: 0, 466_000: 0} {
			score(t, c, up, letters(size))
			all := conns.list()
			if len(all) != 1 {
				t.Fatalf("there are %d connections, want one", len(all))
			}
			if writes, b := all[0].since(); writes != want || writes == 1 && !strings.HasPrefix(string(b), "POST ") {
				t.Errorf("round %d, %d bytes: %d writes besides vectors, want %d: %.100q", round, size, writes, want, b)
			}
		}
	}
}

// records counts the TLS records of application data in what a client wrote, and how many of them are full.
func records(t *testing.T, b []byte) (n, full int) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 5 || len(b) < 5+int(b[3])<<8+int(b[4]) || b[0] != 23 {
			t.Fatalf("no records of application data: % x", b[:min(len(b), 20)])
		}
		size := int(b[3])<<8 + int(b[4])
		b = b[5+size:]
		n++
		if size >= maxRecord {
			full++
		}
	}
	return n, full
}

// Over TLS a small request is one record, and of a large one only the head stands alone.
func TestSmallRequestIsOneRecord(t *testing.T) {
	up := newRecorder(t, true)
	c, err := NewClient(Options{BaseURL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var conn *tap
	trusted := up.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		plain, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn = &tap{TCPConn: plain.(*net.TCPConn)}
		raw := &recordConn{Conn: conn, reader: bufio.NewReader(conn)}
		secure := tls.Client(raw, &tls.Config{RootCAs: trusted, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn.since()
		return &wholeConn{Conn: secure, raw: raw}, nil
	}
	for _, tc := range []struct{ size, records, full, writes int }{{2, 1, 0, 1}, {10_000, 1, 0, 1}, {16_384, 2, 1, 1}, {466_000, 30, 28, 8}} {
		for range 2 {
			score(t, c, up, letters(tc.size))
			writes, b := conn.since()
			if writes > tc.writes {
				t.Errorf("%d bytes take %d writes, want %d at most", tc.size, writes, tc.writes)
			}
			if n, full := records(t, b); n != tc.records || full != tc.full {
				t.Errorf("%d bytes are %d records, of which %d are full; want %d and %d", tc.size, n, full, tc.records, tc.full)
			}
		}
	}
}

// Requests that the client does not make itself pass a connection too, whole and in order, before and after one of its own.
func TestOtherBodiesPass(t *testing.T) {
	up := newRecorder(t, false)
	c, conns := tappedClient(t, up.URL)
	large := letters(300_000)
	for name, body := range map[string]func() (io.Reader, int64){
		"none":                      func() (io.Reader, int64) { return http.NoBody, 0 },
		"known to net/http":         func() (io.Reader, int64) { return strings.NewReader(large), int64(len(large)) },
		"a small one":               func() (io.Reader, int64) { return strings.NewReader("{}"), 2 },
		"a reader":                  func() (io.Reader, int64) { return io.MultiReader(strings.NewReader(large)), int64(len(large)) },
		"without a length":          func() (io.Reader, int64) { return io.MultiReader(strings.NewReader(large)), -1 },
		"content behind a reader":   func() (io.Reader, int64) { return io.MultiReader(newContent([]byte(large), nil)), int64(len(large)) },
		"content nobody told about": func() (io.Reader, int64) { return newContent([]byte(large), nil), int64(len(large)) },
	} {
		score(t, c, up, letters(5000))
		reader, length := body()
		want := "GET "
		method := http.MethodGet
		if length != 0 {
			method, want = http.MethodPost, "POST "+large
			if length == 2 {
				want = "POST {}"
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), method, up.URL, reader)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		resp, err := c.transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if asked := up.asked(); len(asked) != 1 || asked[0] != want {
			t.Errorf("%s: the upstream got %d requests, or something else", name, len(asked))
		}
		score(t, c, up, "{}")
	}
	if n := len(conns.list()); n != 1 {
		t.Errorf("%d connections were used, want one", n)
	}
}

// pieces is a connection that keeps what is written, up to a limit, beyond which it breaks.
type pieces struct {
	net.Conn
	room    int
	written []byte
	writes  int
}

var errRoom = errors.New("no more room")

func (p *pieces) Write(b []byte) (int, error) {
	p.writes++
	n := min(len(b), p.room)
	p.room -= n
	p.written = append(p.written, b[:n]...)
	if n < len(b) {
		return n, errRoom
	}
	return n, nil
}

// However a body comes, nothing is left out, twice, or before what goes before it.
func TestWholeConnKeepsOrder(t *testing.T) {
	limited := func(r io.Reader) io.Reader { return &io.LimitedReader{R: r, N: 1 << 20} }
	for name, send := range map[string]func(w *wholeConn, body *content){
		"as meant": func(w *wholeConn, body *content) {
			write(w, "head ")
			read(w, limited(body))
		},
		"with a head in two pieces": func(w *wholeConn, body *content) {
			write(w, "he")
			write(w, "ad ")
			read(w, limited(body))
		},
		"touched before the head": func(w *wholeConn, body *content) {
			first := make([]byte, 2)
			_, _ = body.Read(first)
			write(w, "head ")
			write(w, string(first))
			read(w, limited(body))
		},
		"touched behind the head": func(w *wholeConn, body *content) {
			write(w, "head ")
			first := make([]byte, 2)
			_, _ = body.Read(first)
			write(w, string(first))
			read(w, limited(body))
		},
		"read by others altogether": func(w *wholeConn, body *content) {
			write(w, "head ")
			b, _ := io.ReadAll(body)
			write(w, string(b))
		},
		"behind another reader": func(w *wholeConn, body *content) {
			write(w, "head ")
			read(w, limited(io.MultiReader(body)))
		},
		"without a limit": func(w *wholeConn, body *content) {
			write(w, "head ")
			read(w, body)
		},
		"in two goes": func(w *wholeConn, body *content) {
			write(w, "head ")
			read(w, &io.LimitedReader{R: body, N: 3})
			read(w, limited(body))
		},
	} {
		for _, secure := range []bool{false, true} {
			for _, size := range []int{10, 3000, 40_000} {
				to := &pieces{room: 1 << 20}
				w := newWhole(to, secure)
				for range 2 { // a connection's next request finds nothing of the last one
					body := newContent([]byte(letters(size)), nil)
					to.written = nil
					w.body = body
					send(w, body)
					if got, want := string(to.written), "head "+letters(size); got != want {
						t.Errorf("%s, secure %v, %d bytes: %d were written, want %d, or they differ", name, secure, size, len(got), len(want))
					}
				}
				to.written, w.body = nil, nil
				if write(w, "GET"); string(to.written) != "GET" {
					t.Errorf("%s: a request without a body comes as %q", name, to.written)
				}
			}
		}
	}
}

// newWhole returns a connection over another; where it is secure, TLS itself is left out.
func newWhole(to net.Conn, secure bool) *wholeConn {
	if !secure {
		return &wholeConn{Conn: to}
	}
	raw := &recordConn{Conn: to, reader: bufio.NewReader(to)}
	return &wholeConn{Conn: raw, raw: raw}
}

func write(w *wholeConn, s string) { _, _ = io.WriteString(w, s) }

func read(w *wholeConn, r io.Reader) { _, _ = w.ReadFrom(r) }

// What a broken connection took of a body is counted without the head.
func TestBrokenWritesAreCounted(t *testing.T) {
	const head = "head "
	for _, secure := range []bool{false, true} {
		for _, size := range []int{100, 3000, 40_000} {
			for _, room := range []int{0, 3, len(head), len(head) + 7, len(head) + size - 1} {
				to := &pieces{room: room}
				w := newWhole(to, secure)
				w.body = newContent([]byte(letters(size)), nil)
				write(w, head)
				limited := &io.LimitedReader{R: w.body, N: int64(size)}
				n, err := w.ReadFrom(limited)
				want := int64(max(room-len(head), 0))
				if secure && size > maxRecord {
					want = 0 // nobody knows what of several records was taken
				}
				if !errors.Is(err, errRoom) || n != want || limited.N != int64(size)-n {
					t.Errorf("secure %v: %d of %d bytes, %v, and %d to come; want %d", secure, n, size, err, limited.N, want)
				}
			}
		}
	}
}

// A connection that was closed while it was idle takes nothing, so that the request may go to another one.
func TestClosedConnTakesNothing(t *testing.T) {
	to := &pieces{room: 1 << 20}
	w := &wholeConn{Conn: to, body: newContent([]byte("{}"), nil)}
	w.closed.Store(true)
	if n, err := io.WriteString(w, "head"); n != 0 || !errors.Is(err, net.ErrClosed) || to.writes > 0 {
		t.Errorf("%d bytes were taken, %v, after %d writes", n, err, to.writes)
	}
}

// A kept connection that the upstream closed meanwhile is replaced, whenever that is noticed before a byte is written, and
// the request goes out once.
func TestClosedConnIsReplaced(t *testing.T) {
	for name, end := range map[string]func(*recorder, *tap){
		"noticed while it was idle": func(up *recorder, conn *tap) {
			up.CloseClientConnections()
			for !conn.whole.closed.Load() {
				runtime.Gosched()
			}
		},
		"noticed when it was chosen": func(_ *recorder, conn *tap) { conn.whole.closed.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, false)
			c, conns := tappedClient(t, up.URL)
			for n := range 5 {
				body := fmt.Sprintf("%d %s", n, letters(100_000*n))
				lease, err := c.buffers.Lend(len(body))
				if err != nil {
					t.Fatal(err)
				}
				copy(lease.B, body)
				answer, err := c.Execute(t.Context(), &Request{Workspace: "w", Service: "s", Body: lease.B, Lease: lease})
				if err != nil {
					t.Fatalf("call %d: %v", n, err)
				}
				answer.Release()
				if asked := up.asked(); len(asked) != 1 || asked[0] != "POST "+body {
					t.Errorf("call %d came %d times, or as something else", n, len(asked))
				}
				all := conns.list()
				if len(all) != n+1 {
					t.Errorf("there are %d connections after %d calls", len(all), n+1)
				}
				end(up, all[len(all)-1])
			}
			for c.buffers.Lent() != 0 { // each try's body lets go of the buffer
				runtime.Gosched()
			}
		})
	}
}

// A body that was closed hands out nothing more, and lets its buffer go once.
func TestContentLetsGoOnce(t *testing.T) {
	c, err := NewClient(Options{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := c.buffers.Lend(100)
	if err != nil {
		t.Fatal(err)
	}
	body := newContent(lease.B, lease)
	lease.Release()
	if c.buffers.Lent() == 0 {
		t.Fatal("a body does not keep the buffer that its bytes lie in")
	}
	for range 2 {
		_ = body.Close()
	}
	if c.buffers.Lent() != 0 {
		t.Error("a closed body keeps its buffer")
	}
	var wrote int
	_, _ = body.writeAll(func(pieces [][]byte) (int64, error) {
		for _, b := range pieces {
			wrote += len(b)
		}
		return int64(wrote), nil
	})
	if n, err := body.Read(make([]byte, 10)); n != 0 || err != io.EOF || wrote != 0 {
		t.Errorf("a closed body still gives %d and %d bytes, %v", n, wrote, err)
	}
}

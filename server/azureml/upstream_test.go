package azureml_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/azureml"
)

// upstream is a scripted AzureML: it speaks bytes, so that a script can say what no HTTP library would.
type upstream struct {
	addr string

	mu       sync.Mutex
	requests []string // as they came, to the byte
	conns    int
}

// wire is one connection to an upstream, as its script has it.
type wire struct {
	net.Conn
	up *upstream
	n  int // which connection this is, from 0
	r  *bufio.Reader
}

// newUpstream runs script for every connection, and closes the connection behind it.
func newUpstream(t testing.TB, script func(*wire)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{addr: l.Addr().String()}
	var scripts sync.WaitGroup
	scripts.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			up.mu.Lock()
			w := &wire{Conn: conn, up: up, n: up.conns, r: bufio.NewReader(conn)}
			up.conns++
			up.mu.Unlock()
			scripts.Go(func() {
				defer conn.Close()
				script(w)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		scripts.Wait()
	})
	return up
}

// answering replies to every request on every connection with the same bytes, written with LF for CRLF.
func answering(t testing.TB, head, body string) *upstream {
	t.Helper()
	return newUpstream(t, func(w *wire) {
		for w.request() != "" {
			w.reply(head, body)
		}
	})
}

// request reads one request whole and notes it; it returns nothing where the caller hung up.
func (w *wire) request() string {
	var raw strings.Builder
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(oneByte{w.r}, &raw)))
	if err != nil {
		return ""
	}
	body := make([]byte, max(req.ContentLength, 0))
	if _, err := io.ReadFull(w.r, body); err != nil {
		return ""
	}
	text := strings.ReplaceAll(raw.String()+string(body), w.up.addr, "UPSTREAM")
	w.up.mu.Lock()
	defer w.up.mu.Unlock()
	w.up.requests = append(w.up.requests, text)
	return text
}

// oneByte hands a reader's bytes out one by one: whoever buffers it reads no further than it must. A request's head ends
// with its last line feed, and the body is still there.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

// reply writes a head and a body; "Content-Length: auto" is filled in.
func (w *wire) reply(head, body string) {
	head = strings.Replace(head, "Content-Length: auto", "Content-Length: "+strconv.Itoa(len(body)), 1)
	_, _ = io.WriteString(w, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body)
}

// hangUp waits until the caller closes the connection.
func (w *wire) hangUp() { _, _ = io.Copy(io.Discard, w.r) }

// asked returns the requests so far and how many connections they came over.
func (up *upstream) asked() ([]string, int) {
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.requests, up.conns
}

const (
	okHead = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto"
	okBody = `{"Results":{}}`
)

// newClient returns a client of an upstream that ends with the test.
func newClient(t testing.TB, o azureml.Options) *azureml.Client {
	t.Helper()
	c, err := azureml.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// client returns a client of the upstream with options otherwise left out.
func (up *upstream) client(t testing.TB) *azureml.Client {
	t.Helper()
	return newClient(t, azureml.Options{BaseURL: "http://" + up.addr})
}

// execute makes a call whose request does not matter.
func execute(t testing.TB, c *azureml.Client) (*azureml.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that a test fails rather than hangs
	defer cancel()
	return c.Execute(ctx, &azureml.Request{Workspace: "w", Service: "s", Body: []byte(`{"Inputs":{}}`)})
}

// wantError asserts that a call failed as kind.
func wantError(t testing.TB, answer *azureml.Answer, err error, kind azureml.Kind) *azureml.Error {
	t.Helper()
	var e *azureml.Error
	if !errors.As(err, &e) || answer != nil {
		t.Fatalf("the call returned %v, %v; want an Error", answer, err)
	}
	if e.Kind != kind {
		t.Fatalf("the error's kind is %d, want %d: %v", e.Kind, kind, err)
	}
	return e
}

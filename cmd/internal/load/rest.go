package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/amlgate/amlgate/server/azureml"
)

// Call says what is called and as whom, over either surface.
type Call struct {
	// Workspace and Service are AzureML's ids.
	Workspace, Service string

	// Key is the AzureML API key, sent as a bearer token; empty for none.
	Key string

	// Header holds further headers (REST) or metadata (gRPC).
	Header map[string]string

	// Timeout is the longest wait for one answer.
	Timeout time.Duration

	// TLS says how the service is trusted. Nil is cleartext over gRPC; over REST the URL decides and nil is the default.
	TLS *tls.Config
}

// maxIdle is how long a connection may lie idle and still be used: a service that closes idle ones would otherwise turn
// the next call into a failure.
const maxIdle = 2 * time.Second

// NewREST returns a target at a base URL. Each worker has one HTTP/1.1 connection, kept alive, and writes a request that
// was put together once: net/http's client would spend more than some of the services under test. Proxies in the
// environment are not used.
func NewREST(base string, c Call, body []byte, concurrency int) (*Target, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("a base URL is needed, for example http://127.0.0.1:8080")
	}
	full := u.JoinPath("workspaces", c.Workspace, "services", c.Service, "execute")
	full.RawQuery = "api-version=2.0&details=true"
	req, err := http.NewRequest(http.MethodPost, full.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "amlgate-bench")
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(values[0]) {
			return nil, fmt.Errorf("the header %s holds what no header can carry", name)
		}
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	r := &restTarget{request: req, wire: wire.Bytes(), sent: len(body), timeout: c.Timeout, address: hostPort(u), workers: make([]restWorker, concurrency)}
	r.answers.check = checkJSON
	if u.Scheme == "https" {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLS != nil {
			config = c.TLS.Clone()
		}
		config.ServerName = u.Hostname()
		r.tls = config
	}
	return &Target{call: r.call, abort: r.abort, close: r.close}, nil
}

// hostPort is where a URL's service listens.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// restTarget is a service over REST.
type restTarget struct {
	request *http.Request
	wire    []byte
	sent    int
	timeout time.Duration
	address string
	tls     *tls.Config
	answers answers
	workers []restWorker
}

// restWorker is one worker's connection.
type restWorker struct {
	mu     sync.Mutex // over conn, which abort touches too
	conn   net.Conn
	reader *bufio.Reader
	used   time.Time
	body   bytes.Buffer
}

func (t *restTarget) call(ctx context.Context, worker int) Outcome {
	w := &t.workers[worker]
	begin := time.Now()
	if w.conn != nil && begin.Sub(w.used) > maxIdle {
		w.drop()
	}
	if w.conn == nil {
		if err := t.dial(ctx, w, begin); err != nil {
			return broken(err)
		}
	}
	_ = w.conn.SetDeadline(begin.Add(t.timeout))
	if ctx.Err() != nil { // abort may have come before the deadline was set
		return Outcome{Failure: "given up"}
	}
	outcome := t.exchange(w)
	outcome.Sent = t.sent
	w.used = time.Now()
	return outcome
}

// dial opens a worker's connection.
func (t *restTarget) dial(ctx context.Context, w *restWorker, begin time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, begin.Add(t.timeout))
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return err
	}
	if t.tls != nil {
		secure := tls.Client(conn, t.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secure
	}
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	if w.reader == nil {
		w.reader = bufio.NewReaderSize(conn, 64<<10)
	}
	w.reader.Reset(conn)
	return nil
}

// exchange writes the request and reads the answer; the connection is dropped where it cannot be used again.
func (t *restTarget) exchange(w *restWorker) Outcome {
	_, writeErr := w.conn.Write(t.wire) // a service may refuse a body before it has read it: the answer says so
	resp, err := readHead(w.reader, t.request)
	if err != nil {
		w.drop()
		if writeErr != nil {
			err = writeErr
		}
		return broken(err)
	}
	w.body.Reset()
	_, err = w.body.ReadFrom(resp.Body)
	_ = resp.Body.Close()
	if err != nil || writeErr != nil || resp.Close {
		w.drop()
	}
	outcome := Outcome{Received: w.body.Len()}
	switch {
	case resp.StatusCode != http.StatusOK:
		outcome.Failure, outcome.Detail = fmt.Sprintf("HTTP %d", resp.StatusCode), azureError(w.body.Bytes())
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome.Failure, outcome.Detail = "timeout", "the answer was not whole in time"
	case err != nil:
		outcome.Failure, outcome.Detail, outcome.Wrong = "not whole", err.Error(), true
	default:
		if err := t.answers.wrong(w.body.Bytes()); err != nil {
			outcome.Failure, outcome.Detail, outcome.Wrong = "wrong answer", err.Error(), true
		}
	}
	return outcome
}

// readHead reads an answer's head, past those that only say that it is coming.
func readHead(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// azureError is what an AzureML error answer says, shortly; empty for a body that is none.
func azureError(body []byte) string {
	var e azureml.Envelope
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if len(e.Error.Details) > 0 {
		return e.Error.Details[0].Code + ": " + e.Error.Details[0].Message
	}
	return strings.TrimSuffix(e.Error.Code+": "+e.Error.Message, ": ")
}

// broken names what an error of the connection was.
func broken(err error) Outcome {
	o := Outcome{Failure: "connection", Detail: err.Error(), Unanswered: true}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		o.Failure = "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		o.Failure = "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		o.Failure = "connection closed"
	case errors.As(err, &certificate):
		o.Failure = "certificate"
	}
	return o
}

// drop closes the connection; the next call opens another.
func (w *restWorker) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// abort ends what the workers wait for.
func (t *restTarget) abort() {
	for i := range t.workers {
		w := &t.workers[i]
		w.mu.Lock()
		if w.conn != nil {
			_ = w.conn.SetDeadline(time.Unix(1, 0))
		}
		w.mu.Unlock()
	}
}

func (t *restTarget) close() {
	for i := range t.workers {
		t.workers[i].drop()
	}
}

package azureml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"

	"github.com/amlgate/amlgate/server/memory"
)

// exchange is one request to the upstream, and what is noticed on its way.
type exchange struct {
	method, path, query string
	header              http.Header
	body                []byte
	lease               *memory.Buffer // what body lies in, nil for none; the exchange takes over one use
}

// do makes one exchange that ends in JSON, with 200.
func (c *Client) do(ctx context.Context, x exchange) (*Answer, error) {
	answer, err := c.send(ctx, x)
	if err != nil {
		return nil, err
	}
	if reason := strange(answer); reason != "" {
		answer.Release()
		return nil, &Error{Kind: Foreign, Status: answer.Status, Header: answer.Header, Reason: reason}
	}
	return answer, nil
}

// send makes one exchange and reads the whole answer; any 2xx is good.
func (c *Client) send(ctx context.Context, x exchange) (*Answer, error) {
	own, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	sight := sights.Get().(*sight)
	defer sights.Put(sight)
	if c.key != nil {
		x.header["Authorization"] = []string{"Bearer " + c.key()}
	}
	resp, err := c.transport.RoundTrip(c.request(httptrace.WithClientTrace(own, &sight.trace), x, sight))
	x.lease.Release() // the body that the transport may still be reading is a user of its own
	if err != nil {
		return nil, c.failed(ctx, own, sight.connected, err)
	}
	defer resp.Body.Close()
	passed := answerHeader(resp.Header)
	if c.key != nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		return nil, &Error{Kind: KeyRefused, Status: resp.StatusCode, Header: passed, Reason: "the upstream refuses this server's own key (--upstream-key-file)"}
	}
	if !good(resp.StatusCode) {
		body, err := readError(resp, min(c.maxAnswer, maxErrorAnswer))
		if err != nil {
			return nil, c.torn(ctx, own, resp.StatusCode, passed, err)
		}
		return nil, answered(resp, passed, body)
	}
	body, err := readAnswer(resp, c.maxAnswer, c.buffers)
	if err != nil {
		return nil, c.torn(ctx, own, resp.StatusCode, passed, err)
	}
	answer := &Answer{Status: resp.StatusCode, Header: passed, lease: body}
	if body != nil {
		answer.Body = body.B
	}
	return answer, nil
}

// request builds an exchange's request. The path needs no escape: it is made of ids.
func (c *Client) request(ctx context.Context, x exchange, sight *sight) *http.Request {
	u := &url.URL{Scheme: c.url.Scheme, Host: c.url.Host, Path: c.url.Path + x.path, RawQuery: x.query}
	if c.url.RawPath != "" {
		u.RawPath = c.url.RawPath + x.path
	}
	template := http.Request{
		Method: x.method, URL: u, Host: u.Host, Header: x.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody,
	}
	sight.connected, sight.body = false, nil
	size := len(x.body)
	if size == 0 && x.lease != nil {
		for _, p := range x.lease.Pieces {
			size += len(p)
		}
	}
	if size > 0 {
		next := func() (io.ReadCloser, error) {
			sight.body = newContent(x.body, x.lease)
			return sight.body, nil
		}
		template.Body, _ = next()
		template.ContentLength = int64(size)
		template.GetBody = next // asked for again where a kept connection turns out to be closed, before anything was written
	}
	return template.WithContext(ctx)
}

// sight notices whether a request found a connection, and tells the connection what body is to come. net/http looks for
// one again where it finds a kept one closed before anything was written to it.
type sight struct {
	connected bool
	body      *content // nil for none
	trace     httptrace.ClientTrace
}

// sights holds what was used before: the hooks run in the goroutine of RoundTrip, so none comes late.
var sights = sync.Pool{New: func() any {
	s := &sight{}
	s.trace.GetConn = func(string) { s.connected = false }
	s.trace.GotConn = func(info httptrace.GotConnInfo) {
		s.connected = true
		if conn, ok := info.Conn.(*wholeConn); ok {
			conn.body = s.body
		}
	}
	return s
}}

// good reports whether a status is one of success.
func good(status int) bool { return status >= 200 && status < 300 }

var errTooLarge = errors.New("answer too large")

// tooLargeError is errTooLarge with the limit that was passed.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string { return fmt.Sprintf("answer larger than %d bytes", e.limit) }

// Is makes it errTooLarge.
func (e *tooLargeError) Is(target error) bool { return target == errTooLarge }

// readError reads an error answer of at most limit bytes, which the garbage collector gets: it becomes part of an error.
func readError(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, &tooLargeError{limit}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, &tooLargeError{limit}
	}
	return b, err
}

// firstRoom is the buffer that an answer of unknown length begins with; it doubles when it is full.
const firstRoom = 32 << 10

// readAnswer reads a whole answer of at most limit bytes into a buffer; nil for an empty one. One that ends early is an
// error.
func readAnswer(resp *http.Response, limit int64, buffers *memory.Pool) (*memory.Buffer, error) {
	switch {
	case resp.ContentLength > limit:
		return nil, &tooLargeError{limit}
	case resp.ContentLength == 0:
		return nil, nil
	case resp.ContentLength > 0:
		b, err := buffers.Lend(int(resp.ContentLength))
		if err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(resp.Body, b.B); err != nil {
			b.Release()
			return nil, err
		}
		return b, nil
	}
	b, err := buffers.Lend(firstRoom)
	if err != nil {
		return nil, err
	}
	n := 0
	for {
		got, err := resp.Body.Read(b.B[n:])
		n += got
		if int64(n) > limit {
			err = &tooLargeError{limit}
		}
		if errors.Is(err, io.EOF) {
			b.B = b.B[:n]
			return b, nil
		}
		if err == nil && n == len(b.B) {
			larger, full := b.Grow(2 * n)
			if err = full; full == nil {
				b = larger
			}
		}
		if err != nil {
			b.Release()
			return nil, err
		}
	}
}

// torn says why an answer that had begun could not be taken.
func (c *Client) torn(ctx, own context.Context, status int, passed http.Header, err error) error {
	var large *tooLargeError
	switch {
	case errors.As(err, &large):
		return &Error{Kind: TooLarge, Status: status, Header: passed,
			Reason: fmt.Sprintf("the upstream's answer is larger than %d bytes (--max-answer)", large.limit)}
	case errors.Is(err, memory.ErrFull):
		return &Error{Kind: NoRoom, Status: status, Header: passed,
			Reason: "too many bytes are in flight for the upstream's answer (--max-in-flight); the call has run"}
	}
	failure := c.failed(ctx, own, true, err)
	var e *Error
	if errors.As(failure, &e) {
		e.Status, e.Header = status, passed
	}
	return failure
}

// failed says why an exchange did not end. The caller's own context goes before everything else.
func (c *Client) failed(ctx, own context.Context, connected bool, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !connected {
		return &Error{Kind: Unreachable, Reason: "the upstream cannot be reached; nothing ran", Err: err}
	}
	if own.Err() != nil {
		return &Error{Kind: TimedOut, Reason: fmt.Sprintf("the upstream did not answer within %s; it may still be working", c.timeout)}
	}
	return &Error{Kind: Broken, Reason: "the upstream broke off before its answer was whole; the call may have run", Err: err}
}

// strange returns why a 200 is not AzureML's answer, or nothing. It looks at the edges only: what stands between them
// is the caller's to read.
func strange(answer *Answer) string {
	if answer.Status != http.StatusOK {
		return fmt.Sprintf("the upstream answered %d where AzureML answers 200", answer.Status)
	}
	if len(answer.Header["Content-Encoding"]) > 0 {
		return ""
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(answer.Body, utf8BOM))
	switch {
	case len(text) == 0:
		return "the upstream answered 200 with an empty body"
	case text[0] != '{':
		return fmt.Sprintf("the upstream answered 200 with %s that is not AzureML's JSON", contentType(answer.Header))
	case text[len(text)-1] != '}':
		// Seen where the length was not announced and the connection's end had to stand for the body's.
		return "the upstream's answer ends in the middle of its JSON"
	}
	return ""
}

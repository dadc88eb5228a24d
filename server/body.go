package server

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server/api"
)

const (
	// bodyTimeout is how long a request's body may take to arrive: AzureML's own limit for a whole call.
	bodyTimeout = 100 * time.Second

	// maxDrain is how much of a body that is too large is read and thrown away, so that the answer reaches a client
	// which writes before it reads, and the connection stays good. Beyond it the connection is closed.
	maxDrain = 128 << 20
)

// wholeBody is a request body that was read already. The generated mux sees an io.ReadCloser; the marshaler takes the
// bytes without a copy.
type wholeBody struct {
	bytes []byte
	read  int
}

func (b *wholeBody) Read(p []byte) (int, error) {
	if b.read == len(b.bytes) {
		return 0, io.EOF
	}
	n := copy(p, b.bytes[b.read:])
	b.read += n
	return n, nil
}

func (b *wholeBody) Close() error { return nil }

// take returns all that was not read yet.
func (b *wholeBody) take() []byte {
	rest := b.bytes[b.read:]
	b.read = len(b.bytes)
	return rest
}

// readBody reads a request's body of at most limit bytes, whatever its Content-Type says.
func readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, *api.Failure) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	// A deadline that stands would later look like a client that went away.
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	if r.ContentLength > int64(limit) {
		// A client that waits for "100 Continue" has sent nothing yet and is not asked to.
		if r.Header.Get("Expect") == "" {
			drain(r.Body)
		}
		return nil, api.TooLarge("body", limit)
	}
	var body []byte
	var err error
	if r.ContentLength > 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else if body, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1)); err == nil && len(body) > limit {
		drain(r.Body)
		return nil, api.TooLarge("body", limit)
	}
	if err != nil {
		f := api.Refuse(api.RequestTorn, "body", "the connection ended, or %s passed, before the body was whole", bodyTimeout)
		f.Cause = errors.Unwrap(err)
		return nil, f
	}
	return body, nil
}

func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, maxDrain) }

// drainRefused reads what a refused call still sends, so that the refusal is read and the connection stays good.
func drainRefused(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	drain(r.Body)
	_ = control.SetReadDeadline(time.Time{})
}

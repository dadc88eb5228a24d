package server

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server/api"
	"github.com/amlgate/amlgate/server/memory"
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

// firstPiece is the buffer that a body of unknown length begins with; it doubles when it is full.
const firstPiece = 16 << 10

// readBody reads a request's body of at most limit bytes, whatever its Content-Type says, into a buffer; nil for none.
func readBody(w http.ResponseWriter, r *http.Request, limit int, buffers *memory.Pool) (*memory.Buffer, *api.Failure) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	// A deadline that stands would later look like a client that went away.
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	refuse := func(f *api.Failure) (*memory.Buffer, *api.Failure) {
		// A client that waits for "100 Continue" has sent nothing yet and is not asked to.
		if r.Header.Get("Expect") == "" {
			drain(r.Body)
		}
		return nil, f
	}
	if r.ContentLength > int64(limit) {
		return refuse(api.TooLarge("body", limit))
	}
	size := firstPiece
	if r.ContentLength > 0 {
		size = int(r.ContentLength)
	}
	b, err := buffers.Admit(size)
	if err != nil {
		return refuse(api.Full())
	}
	if r.ContentLength > 0 {
		_, err = io.ReadFull(r.Body, b.B)
	} else {
		b, err = readChunks(r.Body, b, limit)
	}
	if err == nil {
		return b, nil
	}
	b.Release()
	switch {
	case errors.Is(err, errTooLarge):
		return refuse(api.TooLarge("body", limit))
	case errors.Is(err, memory.ErrFull):
		return refuse(api.Full())
	}
	f := api.Refuse(api.RequestTorn, "body", "the connection ended, or %s passed, before the body was whole", bodyTimeout)
	f.Cause = errors.Unwrap(err)
	return nil, f
}

var errTooLarge = errors.New("more bytes than allowed")

// readChunks reads a body of unknown length. It returns the buffer that is lent in the end, with an error too.
func readChunks(body io.Reader, b *memory.Buffer, limit int) (*memory.Buffer, error) {
	for n := 0; ; {
		got, err := body.Read(b.B[n:])
		n += got
		switch {
		case n > limit:
			return b, errTooLarge
		case errors.Is(err, io.EOF):
			b.B = b.B[:n]
			return b, nil
		case err != nil:
			return b, err
		case n == len(b.B):
			larger, err := b.Grow(2 * n)
			if err != nil {
				return b, err
			}
			b = larger
		}
	}
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

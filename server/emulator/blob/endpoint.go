package blob

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Endpoint is the blob service of one storage account. It is an http.Handler,
// safe for concurrent use, and starts nothing in the background.
type Endpoint struct {
	account string
	key     []byte
	log     *slog.Logger
	store   store

	operations map[string]operation
}

// answer is what goes back to the client. Handlers return it instead of
// writing, so that the headers every answer has are in one place.
type answer struct {
	status int
	code   string // the error code of a refusal, for the log
	header http.Header
	body   content
}

// drained is how much of the body of a refused request is read and dropped.
// Clients that write it all before they read would otherwise see a broken
// connection in the place of the refusal.
const drained = 64 << 20

// ServeHTTP answers one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start, id := time.Now(), requestID()
	c := &call{Request: r, endpoint: e}
	a, err := e.respond(c)
	if err != nil {
		var p *problem
		if !errors.As(err, &p) {
			// No error of another kind is expected; its text may be anything.
			p = &problem{status: http.StatusInternalServerError, code: "InternalError", message: "The server encountered an internal error. Please retry the request."}
		}
		a = p.answer(id)
		if r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, drained) // whatever happens, the refusal stands
		}
	}
	// Neither the URL nor a name is logged: a URL may hold a signature.
	e.log.LogAttrs(r.Context(), slog.LevelInfo, "blob request",
		slog.String("method", cut(r.Method)),
		slog.String("operation", c.op.name),
		slog.Int("status", a.status),
		slog.String("code", a.code),
		slog.Int64("bytes", a.body.size),
		slog.String("request_id", id),
		slog.Duration("took", time.Since(start)))
	c.write(w, id, a)
}

func (c *call) write(w http.ResponseWriter, id string, a answer) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	h.Set("X-Ms-Request-Id", id)
	h.Set("X-Ms-Version", c.version())
	// net/http sets Date by itself, but not every ResponseWriter is its own.
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if own := c.Header.Get("X-Ms-Client-Request-Id"); own != "" && len(own) <= 1024 {
		h.Set("X-Ms-Client-Request-Id", own)
	}
	if a.status != http.StatusNotModified && a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(a.body.size, 10))
	}
	w.WriteHeader(a.status)
	if c.Method != http.MethodHead {
		_ = a.body.writeTo(w) // fails when the client is gone: nobody to tell
	}
}

// respond finds the operation, authorizes it and performs it.
func (e *Endpoint) respond(c *call) (answer, error) {
	if err := c.parse(); err != nil {
		return answer{}, err
	}
	if err := e.authorize(c); err != nil {
		return answer{}, err
	}
	if err := c.unsupported(); err != nil {
		return answer{}, err
	}
	return c.op.handle(e, c)
}

// requestID makes the GUID of x-ms-request-id: 122 random bits and the marks
// of version 4.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

package emulator

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a body may nest. An execute request needs 5 (request,
// Inputs, input, Values, row); the rest is for members that are skipped.
const maxDepth = 32

// errGone says that the client went away before its body was complete.
var errGone = errors.New("the client is gone")

// readBody reads the whole body, unzipped, up to MaxBody bytes. A client that
// goes away meanwhile is errGone, everything else wrong with the body a
// problem.
func (e *Emulator) readBody(r *http.Request) ([]byte, *problem, error) {
	if r.ContentLength > e.cfg.MaxBody {
		return nil, e.tooLarge(r), nil
	}
	// Both sides of a decompression are bounded: a zip bomb stops at MaxBody
	// bytes of output, an endless row of empty members at MaxBody of input.
	wire := &io.LimitedReader{R: r.Body, N: e.cfg.MaxBody + 1}
	var from io.Reader = wire
	if zipped(r.Header) {
		unzip, err := gzip.NewReader(wire)
		if err != nil {
			return nil, invalidBody(0, "the body is not gzip, as its Content-Encoding says"), nil
		}
		from = unzip
	}
	var body bytes.Buffer
	// The announced length only spares growing, so it is believed a little.
	body.Grow(int(min(max(r.ContentLength, 0), 1<<20)) + bytes.MinRead)
	read, err := body.ReadFrom(io.LimitReader(from, e.cfg.MaxBody+1))
	switch {
	case r.Context().Err() != nil:
		return nil, nil, errGone
	case read > e.cfg.MaxBody || wire.N == 0:
		return nil, e.tooLarge(r), nil
	case err != nil:
		return nil, invalidBody(int(read), "the body is not complete"), nil
	}
	return body.Bytes(), nil, nil
}

// zipped reports whether the body is gzip. Any other token of Content-Encoding
// is ignored: Microsoft's Java sample sends "UTF-8", which is no coding.
func zipped(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return true
		}
	}
	return false
}

// tooLarge reads on for another MaxBody bytes, because a client that is still
// sending when the connection closes sees a reset instead of the answer. One
// that waits for "100 Continue" sends nothing before it has the answer.
func (e *Emulator) tooLarge(r *http.Request) *problem {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, e.cfg.MaxBody)
	}
	return bodyTooLarge.because("RequestBodyTooLarge",
		"The request body is longer than the limit of %d bytes.", e.cfg.MaxBody)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// checkText returns a cursor at the beginning of the body's JSON, or says what
// keeps it from being JSON text in UTF-8. A byte order mark is skipped: some
// .NET writers send one.
func checkText(body []byte) (*cursor, *problem) {
	from := len(body) - len(bytes.TrimPrefix(body, byteOrderMark))
	text := body[from:]
	if len(bytes.TrimLeftFunc(text, isBlank)) == 0 {
		return nil, invalidBody(len(body), "the body is empty")
	}
	if !utf8.Valid(text) {
		return nil, invalidBody(from+firstInvalid(text), "the body is not UTF-8")
	}
	// Depth comes before json.Valid, which reads down to 10000 levels.
	if at := tooDeep(text); at >= 0 {
		return nil, invalidBody(from+at, "the JSON nests deeper than %d levels", maxDepth)
	}
	if !json.Valid(text) {
		at, what := syntaxError(text)
		return nil, invalidBody(from+at, "%s", what)
	}
	return &cursor{text: string(body), at: from}, nil
}

func firstInvalid(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(text)
}

// tooDeep returns the offset of the first bracket beyond maxDepth, or -1. On
// text that is no JSON its answer may be off, which is refused next.
func tooDeep(text []byte) int {
	depth, quoted := 0, false
	for at := 0; at < len(text); at++ {
		switch b := text[at]; {
		case quoted && b == '\\':
			at++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return at
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return -1
}

// syntaxError finds where text stops being JSON. A blank is put behind it to
// tell a text that ends too early, where the fault is at the blank or behind
// it, from one with a wrong last character.
func syntaxError(text []byte) (at int, what string) {
	probe := append(bytes.Clone(text), ' ')
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(probe, new(json.RawMessage)), &syntax) || syntax.Offset < 1 {
		return 0, "the body is not JSON"
	}
	at = int(syntax.Offset) - 1
	if at >= len(text) {
		return len(text), "the JSON ends too early"
	}
	r, _ := utf8.DecodeRune(text[at:])
	return at, fmt.Sprintf("%q is not expected here", r)
}

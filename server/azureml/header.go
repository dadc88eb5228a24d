package azureml

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

var utf8BOM = []byte("\xef\xbb\xbf")

// requestHeaders may go to the upstream; whatever else a caller sends stays here.
var requestHeaders = []string{
	"Authorization", "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding",
	"X-Ms-Client-Request-Id", "Traceparent", "Azureml-Model-Deployment",
}

// upstreamHeader picks what of a caller's header goes upstream.
func upstreamHeader(h http.Header) http.Header {
	out := make(http.Header, 8) // fewer than all come together, and beyond eight a map costs twice
	for _, name := range requestHeaders {
		if v := h[name]; len(v) > 0 {
			out[name] = v
		}
	}
	dropFalseCoding(out)
	// An absent User-Agent would be filled in by net/http with its own.
	out["User-Agent"] = userAgent
	return out
}

var userAgent = []string{"amlgate"}

// answerHeader removes from an upstream's header what may not go to the caller, and returns it.
func answerHeader(h http.Header) http.Header {
	for name := range h {
		switch name {
		case "Content-Type", "Content-Encoding", "Date", "Retry-After":
		default:
			if !strings.HasPrefix(name, "X-Ms-") && !strings.HasPrefix(name, "Azureml-") && !strings.HasPrefix(name, "Ms-Azureml-") {
				delete(h, name)
			}
		}
	}
	dropFalseCoding(h)
	return h
}

// dropFalseCoding removes a Content-Encoding that names no coding. Microsoft's Java sample sends "UTF-8" there, which
// servers that take the header at its word refuse.
func dropFalseCoding(h http.Header) {
	for _, v := range h["Content-Encoding"] {
		for token := range strings.SplitSeq(v, ",") {
			switch strings.ToLower(strings.TrimSpace(token)) {
			case "gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "identity":
			default:
				delete(h, "Content-Encoding")
				return
			}
		}
	}
}

// decoded returns an answer's body without its content coding. Only gzip is undone: no other is ever asked for, and one
// that comes all the same is an error. A body that grows beyond limit bytes is errTooLarge.
func decoded(h http.Header, body []byte, limit int64) ([]byte, error) {
	coding := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding")))
	switch coding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
	default:
		return nil, fmt.Errorf("content coding %q is not one that was asked for", coding)
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(zr, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(plain)) > limit {
		return nil, errTooLarge
	}
	return plain, nil
}

package azureml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Envelope is the body of every AzureML error answer, {"error":{...}}.
type Envelope struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody names a class of errors; what exactly went wrong stands in the details.
type ErrorBody struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Details []ErrorDetail `json:"details"`
}

// ErrorDetail is one thing that went wrong. Target is a module's name on errors of modules and empty otherwise.
type ErrorDetail struct {
	Code    string `json:"code"`
	Target  string `json:"target,omitempty"`
	Message string `json:"message"`
}

// parseEnvelope reads an error answer; what is none of AzureML's reads as an empty one.
func parseEnvelope(body []byte) Envelope {
	var e Envelope
	if err := json.Unmarshal(bytes.TrimPrefix(body, utf8BOM), &e); err != nil {
		return Envelope{}
	}
	return e
}

// Kind says how an upstream call failed.
type Kind int

// The kinds of failure. Only Unreachable promises that nothing ran.
const (
	Answered    Kind = iota + 1 // the upstream answered with a status other than 200
	Unreachable                 // no connection was made
	TimedOut                    // the upstream did not answer within Options.Timeout; the model may still be running
	Broken                      // the connection broke before the answer was whole
	Foreign                     // a 200 that AzureML does not answer: HTML, an empty body, JSON of another shape
	Redirected                  // a redirect, which is never followed
	TooLarge                    // an answer beyond Options.MaxAnswer
	NoRoom                      // an answer that Options.Buffers had no room for
	KeyRefused                  // 401 or 403 for Options.Key, which is no fault of the caller's
)

// Error is a call that the upstream did not answer with 200. A caller's own cancellation or deadline is not an Error:
// the context's error comes back instead.
type Error struct {
	Kind Kind

	// Status is the HTTP status of the answer, 0 where there was none.
	Status int

	// Envelope is AzureML's error. Its Error.Code is empty where the answer was none of AzureML's.
	Envelope Envelope

	// Body is the error answer as it came, Plain the same without its content coding, nil where that cannot be undone.
	// Header is what of the answer's head may be passed on.
	Body, Plain []byte
	Header      http.Header

	// RetryAfter is how long the upstream asks to wait, 0 where it does not say.
	RetryAfter time.Duration

	// Reason tells people what happened; it holds no secret and nothing of the answer's body.
	Reason string

	// Err is the cause, for the log.
	Err error
}

// Error returns the reason and the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// answered turns an answer other than 200 into an Error.
func answered(resp *http.Response, header http.Header, body []byte) *Error {
	e := &Error{Kind: Answered, Status: resp.StatusCode, Header: header, Body: body}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Kind = Redirected
		e.Reason = fmt.Sprintf("the upstream answered %d, a redirect, which is not followed; check the upstream's address", e.Status)
	default:
		if plain, err := decoded(header, body, int64(len(body))+maxErrorAnswer); err == nil {
			e.Plain, e.Envelope = plain, parseEnvelope(plain)
		}
		e.Reason = fmt.Sprintf("the upstream answered %d", e.Status)
		if e.Envelope.Error.Code == "" {
			e.Reason = fmt.Sprintf("the upstream answered %d with %s that is not AzureML's error", e.Status, contentType(resp.Header))
		}
	}
	return e
}

// contentType returns the media type of an answer for a sentence; only its own characters, since it goes to people.
func contentType(h http.Header) string {
	ct, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	ct = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '"' && r != '<' && r != '>' {
			return r
		}
		return -1
	}, ct)
	if ct == "" || len(ct) > 100 {
		return "a body"
	}
	return "a body of " + ct
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. What is neither, or lies behind us, is 0.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

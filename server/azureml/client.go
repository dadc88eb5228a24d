package azureml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// maxErrorAnswer is how many bytes of an error answer are read. AzureML's are below 10 kB.
const maxErrorAnswer = 1 << 20

// Options say how an upstream is called.
type Options struct {
	// BaseURL is what stands before /workspaces, for example "https://ussouthcentral.services.azureml.net".
	BaseURL string

	// Timeout is how long one call may take from start to the answer's last byte. Zero means 110 s: a classic service
	// ends a call itself after 100 s, and its own answer should win.
	Timeout time.Duration

	// MaxAnswer is the largest answer taken, in bytes. Zero means 64 MiB.
	MaxAnswer int64
}

// Client calls one upstream. It is safe for use by many goroutines and keeps connections open between calls.
type Client struct {
	base      string
	transport *http.Transport
	timeout   time.Duration
	maxAnswer int64
}

// NewClient checks the options and returns a client; it opens no connection yet.
func NewClient(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("upstream: an absolute http or https URL is needed, for example https://ussouthcentral.services.azureml.net")
	case u.User != nil:
		return nil, errors.New("upstream: user and password in the URL are not sent; callers' own keys are")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("upstream: the URL ends with its path; query and fragment are not allowed")
	}
	c := &Client{
		base:      strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"),
		timeout:   o.Timeout,
		maxAnswer: o.MaxAnswer,
	}
	if c.timeout <= 0 {
		c.timeout = 110 * time.Second
	}
	if c.maxAnswer <= 0 {
		c.maxAnswer = 64 << 20
	}
	c.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		// One upstream, many callers: the default of two idle connections a host would dial for almost every call.
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // gzip passes untouched or not at all
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Request is one call of a service.
type Request struct {
	// Workspace and Service are ids that need no escape in a URL.
	Workspace, Service string

	// Details asks for column names and types, Swagger for rows as objects. Execute only.
	Details, Swagger bool

	// Header is the caller's; only what AzureML knows is sent on.
	Header http.Header

	// Body is the JSON to score, sent as it is. Execute only. It must not change, not even after the call has returned: an
	// upstream may answer before it has read everything, and then what is left may still be under way.
	Body []byte
}

// Answer is what an upstream that was content answered.
type Answer struct {
	// Status is the HTTP status: 200, or another 2xx where the call says so.
	Status int

	// Header is what of the answer's head may be passed on.
	Header http.Header

	// Body is the answer as it came, whole.
	Body []byte
}

// Plain returns the body without its content coding, up to limit bytes.
func (a *Answer) Plain(limit int64) ([]byte, error) {
	plain, err := decoded(a.Header, a.Body, limit)
	if errors.Is(err, errTooLarge) {
		return nil, &Error{Kind: TooLarge, Status: http.StatusOK, Header: a.Header,
			Reason: fmt.Sprintf("the upstream's answer unpacks to more than %d bytes (--max-answer)", limit)}
	}
	if err != nil {
		return nil, &Error{Kind: Foreign, Status: http.StatusOK, Header: a.Header, Reason: "the upstream's answer cannot be unpacked", Err: err}
	}
	return plain, nil
}

// Execute scores r.Body. Errors are *Error or the context's.
func (c *Client) Execute(ctx context.Context, r *Request) (*Answer, error) {
	// details is always said: a front that matches the published URL template would not find the route without it.
	query := "?api-version=2.0&details=false"
	if r.Details {
		query = "?api-version=2.0&details=true"
	}
	if r.Swagger {
		query += "&format=swagger"
	}
	header := upstreamHeader(r.Header)
	if len(header["Content-Type"]) == 0 {
		header["Content-Type"] = []string{"application/json"}
	}
	return c.do(ctx, http.MethodPost, c.base+"/workspaces/"+r.Workspace+"/services/"+r.Service+"/execute"+query, header, r.Body)
}

// Swagger fetches the service's description. Errors are *Error or the context's.
func (c *Client) Swagger(ctx context.Context, r *Request) (*Answer, error) {
	header := upstreamHeader(r.Header)
	delete(header, "Content-Type")
	delete(header, "Content-Encoding")
	return c.do(ctx, http.MethodGet, c.base+"/workspaces/"+r.Workspace+"/services/"+r.Service+"/swagger.json", header, nil)
}

// do makes one exchange that ends in JSON, with 200.
func (c *Client) do(ctx context.Context, method, target string, header http.Header, body []byte) (*Answer, error) {
	answer, err := c.send(ctx, method, target, header, body)
	if err != nil {
		return nil, err
	}
	if reason := strange(answer); reason != "" {
		return nil, &Error{Kind: Foreign, Status: answer.Status, Header: answer.Header, Reason: reason}
	}
	return answer, nil
}

// send makes one exchange and reads the whole answer; any 2xx is good.
func (c *Client) send(ctx context.Context, method, target string, header http.Header, body []byte) (*Answer, error) {
	own, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var content io.Reader = http.NoBody
	if len(body) > 0 {
		content = bytes.NewReader(body)
	}
	// net/http looks for a connection again where it finds a kept one closed before anything was written to it.
	connected := false
	traced := httptrace.WithClientTrace(own, &httptrace.ClientTrace{
		GetConn: func(string) { connected = false },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})
	req, err := http.NewRequestWithContext(traced, method, target, content)
	if err != nil {
		return nil, &Error{Kind: Unreachable, Reason: "the upstream's URL cannot be built", Err: err}
	}
	req.Header = header
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, c.failed(ctx, own, connected, err)
	}
	defer resp.Body.Close()
	limit := c.maxAnswer
	if !good(resp.StatusCode) {
		limit = min(limit, maxErrorAnswer)
	}
	answer, err := readBody(resp, limit)
	passed := answerHeader(resp.Header)
	if errors.Is(err, errTooLarge) {
		return nil, &Error{Kind: TooLarge, Status: resp.StatusCode, Header: passed,
			Reason: fmt.Sprintf("the upstream's answer is larger than %d bytes (--max-answer)", limit)}
	}
	if err != nil {
		failure := c.failed(ctx, own, connected, err)
		var e *Error
		if errors.As(failure, &e) {
			e.Status, e.Header = resp.StatusCode, passed
		}
		return nil, failure
	}
	if !good(resp.StatusCode) {
		return nil, answered(resp, passed, answer)
	}
	return &Answer{Status: resp.StatusCode, Header: passed, Body: answer}, nil
}

// good reports whether a status is one of success.
func good(status int) bool { return status >= 200 && status < 300 }

var errTooLarge = errors.New("answer too large")

// readBody reads a whole answer of at most limit bytes; one that ends early is an error.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	if resp.ContentLength >= 0 {
		b := make([]byte, resp.ContentLength)
		_, err := io.ReadFull(resp.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
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

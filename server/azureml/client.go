package azureml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/amlgate/amlgate/server/memory"
)

// maxErrorAnswer is how many bytes of an error answer are read. AzureML's are below 10 kB.
const maxErrorAnswer = 1 << 20

// Options say how an upstream is called.
type Options struct {
	// BaseURL is what stands before /workspaces, for example "https://ussouthcentral.services.azureml.net".
	BaseURL string

	// Key returns the server's own key for the upstream, sent in place of the callers'. It is called for each exchange, and
	// must not be slow. Nil: callers bring theirs.
	Key func() string

	// Timeout is how long one call may take from start to the answer's last byte. Zero means 110 s: a classic service
	// ends a call itself after 100 s, and its own answer should win.
	Timeout time.Duration

	// MaxAnswer is the largest answer taken, in bytes. Zero means 64 MiB.
	MaxAnswer int64

	// Buffers lends what answers are read into. Nil means a pool of the client's own, bounded by 1 GiB.
	Buffers *memory.Pool
}

// Client calls one upstream. It is safe for use by many goroutines and keeps connections open between calls.
type Client struct {
	url       url.URL // scheme, host and path before /workspaces
	transport *http.Transport
	buffers   *memory.Pool
	key       func() string // nil for the caller's own
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
		url:       url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/"), RawPath: strings.TrimRight(u.RawPath, "/")},
		timeout:   o.Timeout,
		maxAnswer: o.MaxAnswer,
		buffers:   o.Buffers,
		key:       o.Key,
	}
	if c.timeout <= 0 {
		c.timeout = 110 * time.Second
	}
	if c.maxAnswer <= 0 {
		c.maxAnswer = 64 << 20
	}
	if c.buffers == nil {
		c.buffers = memory.NewPool(1 << 30)
	}
	c.transport = newTransport()
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

	// Body is the JSON to score, sent as it is. Execute and SubmitJob only. It must not change, not even after the call has
	// returned: an upstream may answer before it has read everything, and then what is left may still be under way.
	Body []byte

	// Lease is the buffer that Body lies in, nil where Body belongs to the garbage collector. Where Body is empty and the
	// buffer was adopted, its pieces are the body. The call takes over one use
	// of it and ends that when the upstream is done with the body, which may be sooner or later than the call.
	Lease *memory.Buffer
}

// path returns the path of one of the service's resources.
func (r *Request) path(resource string) string {
	return "/workspaces/" + r.Workspace + "/services/" + r.Service + resource
}

// Answer is what an upstream that was content answered.
type Answer struct {
	// Status is the HTTP status: 200, or another 2xx where the call says so.
	Status int

	// Header is what of the answer's head may be passed on.
	Header http.Header

	// Body is the answer as it came, whole. It is good until the answer is released.
	Body []byte

	lease *memory.Buffer
}

// Release gives the answer's body back; nobody may look at it after that.
func (a *Answer) Release() {
	a.lease.Release()
	a.lease, a.Body = nil, nil
}

// Take hands the body and the buffer that it lies in to the caller, who releases it. The buffer may be nil.
func (a *Answer) Take() ([]byte, *memory.Buffer) {
	b, lease := a.Body, a.lease
	a.lease, a.Body = nil, nil
	return b, lease
}

// Plain returns the body without its content coding, up to limit bytes; where it has none, it is Body itself.
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
	query := version + "&details=false"
	if r.Details {
		query = version + "&details=true"
	}
	if r.Swagger {
		query += "&format=swagger"
	}
	header := upstreamHeader(r.Header)
	if len(header["Content-Type"]) == 0 {
		header["Content-Type"] = []string{"application/json"}
	}
	return c.do(ctx, exchange{method: http.MethodPost, path: r.path("/execute"), query: query, header: header, body: r.Body, lease: r.Lease})
}

// Swagger fetches the service's description. Errors are *Error or the context's.
func (c *Client) Swagger(ctx context.Context, r *Request) (*Answer, error) {
	header := upstreamHeader(r.Header)
	delete(header, "Content-Type")
	delete(header, "Content-Encoding")
	return c.do(ctx, exchange{method: http.MethodGet, path: r.path("/swagger.json"), header: header})
}

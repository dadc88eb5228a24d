package api

import (
	"context"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/memory"
)

// Call is what a call carries besides its messages, whichever surface it came over. The listener makes it, the handler
// fills in what the upstream said, and the listener logs it. One goroutine at a time touches it.
type Call struct {
	// ID is the caller's x-ms-client-request-id, or our own.
	ID string

	// Header is the caller's header, or metadata by the names of headers. The upstream's client picks what goes there, the
	// credential unchanged; nothing else in it means anything.
	Header http.Header

	// Keys are the subscription keys that the caller gave, besides one in Header; in passthrough they mean nothing.
	Keys []string

	// Raw is set on REST: the caller takes an answer with its content coding. Stubs get it without.
	Raw bool

	// IdempotencyKey is how a REST caller gives a request_id.
	IdempotencyKey string

	// LastEventID is where a REST watcher says that it left off.
	LastEventID string

	// HeadOnly is set for a REST HEAD.
	HeadOnly bool

	// Body is what REST answers in place of the message, where AzureML's own answer says more than the contract or less;
	// nil for the message. NoContent is an answer without a body, 204.
	Body      []byte
	NoContent bool

	// Answer is what of the upstream's header may go to the caller.
	Answer http.Header

	// Upstream is how long the upstream took, UpstreamStatus what it answered: 0 where it was not asked or did not.
	Upstream       time.Duration
	UpstreamStatus int

	// Failure is why the call failed, nil where it did not. Cause is for the log alone.
	Failure *Failure

	// Request is the buffer that the request's bytes lie in, nil where they belong to the garbage collector. The listener
	// lends it; the handler that passes the bytes on takes it, and with it the bytes: nobody may look at them after that.
	// A large body of the json lane comes in pieces: then it stands here alone, and the message's json is empty.
	Request *memory.Buffer

	// answer is the upstream's, whose bytes the call's own answer may be.
	answer *azureml.Answer
}

// requestSize is the length of a request that came in pieces.
func (c *Call) requestSize() (n int) {
	if c.Request != nil {
		for _, p := range c.Request.Pieces {
			n += len(p)
		}
	}
	return n
}

// takeRequest returns the buffer of the request's bytes, which is then no longer the call's.
func (c *Call) takeRequest() *memory.Buffer {
	b := c.Request
	c.Request = nil
	return b
}

// TakeAnswer returns the buffer that the answer's bytes lie in, nil for none; whoever takes it releases it, when the
// bytes were written.
func (c *Call) TakeAnswer() *memory.Buffer {
	if c.answer == nil {
		return nil
	}
	_, b := c.answer.Take()
	return b
}

// Release gives back what the call still holds. The listener calls it when the answer was written.
func (c *Call) Release() {
	c.takeRequest().Release()
	c.TakeAnswer().Release()
}

type callKey struct{}

// WithCall returns a context that carries c.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallFrom returns the context's Call, or an empty one for a call that came past every listener. Who has none cannot
// release an answer: its buffer stays counted.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

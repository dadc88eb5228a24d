package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/gen/openapi"
	"github.com/amlgate/amlgate/server/api"
	"github.com/amlgate/amlgate/server/memory"
)

// surface is the REST surface: the front door, the generated mux behind it, and a few pages of its own.
type surface struct {
	mux     *runtime.ServeMux
	scoring v1.ScoringServiceServer
	jobs    v1.JobServiceServer
	access  *accessLog
	maxBody int
	buffers *memory.Pool
	ready   func() bool
}

// newSurface registers the services' REST routes; both services run the chain that every call passes.
func newSurface(rooms services, maxBody int, buffers *memory.Pool, access *accessLog, ready func() bool) (*surface, error) {
	s := &surface{scoring: rooms.scoring, jobs: rooms.jobs, access: access, maxBody: maxBody, buffers: buffers, ready: ready}
	s.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, rawMarshaler{}),
		// The front door hands headers on in the call; none becomes metadata, and no metadata becomes a header.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithForwardResponseRewriter(answerBody),
		runtime.WithForwardResponseOption(answerHead),
		runtime.WithErrorHandler(gatewayError),
		runtime.WithRoutingErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
			fail(w, api.CallFrom(ctx), api.FailureOf(fmt.Errorf("the front door let a call pass that has no route: %d", code)))
		}),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
	)
	ctx := context.Background()
	if err := v1.RegisterScoringServiceHandlerServer(ctx, s.mux, rooms.scoring); err != nil {
		return nil, err
	}
	if err := v1.RegisterJobServiceHandlerServer(ctx, s.mux, rooms.jobs); err != nil {
		return nil, err
	}
	// Registered last, it goes before the generated route, which cannot stream.
	return s, s.mux.HandlePath(http.MethodGet, service+"/jobs/{job_id}/watch", s.watch)
}

// exchange is a call over REST and what serving it takes, in one piece for the garbage collector's sake.
type exchange struct {
	call   api.Call
	status statusWriter

	// The short way's: the message, and the values of header fields.
	request v1.ExecuteRequest
	payload v1.ExecuteRequest_Json
	length  [1]string
}

// callID is the header by which a caller names a call.
const callID = "X-Ms-Client-Request-Id"

// ServeHTTP is the front door.
func (s *surface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{call: api.Call{ID: requestID(r.Header.Get(callID)), Raw: true}, status: statusWriter{ResponseWriter: w}}
	defer x.call.Release()
	name := s.serve(&x.status, r, x)
	s.access.rest(r.Context(), name, r.Method, &x.call, x.status.code(), start)
}

// serve answers a request and returns the template of its path.
func (s *surface) serve(w http.ResponseWriter, r *http.Request, x *exchange) string {
	call := &x.call
	if page, ok := s.page(r.URL.Path); ok {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			fail(w, call, notAllowed("GET, HEAD"))
		} else {
			page(w, call)
		}
		return r.URL.Path
	}
	rt, v, path, f := find(r)
	if f != nil {
		// The body of a call that goes nowhere is still read, within bounds, for the connection's sake.
		drainRefused(w, r)
		fail(w, call, f)
		if rt == nil {
			return "unknown"
		}
		return rt.template
	}
	if f := s.pass(w, r, x, v, path); f != nil {
		fail(w, call, f)
	}
	return rt.template
}

// pass brings a request into the one form that the generated mux and the handlers know, and serves it.
func (s *surface) pass(w http.ResponseWriter, r *http.Request, x *exchange, v *verb, path string) *api.Failure {
	call := &x.call
	query, quick := short(r, v)
	var form url.Values
	var f *api.Failure
	if !quick {
		if form, f = v.form(r.URL.RawQuery); f != nil {
			drainRefused(w, r)
			return f
		}
	}
	call.Header, call.Keys = r.Header, restKeys(r.Header, form)
	call.IdempotencyKey = r.Header.Get("Idempotency-Key")
	call.HeadOnly = r.Method == http.MethodHead
	call.LastEventID = r.Header.Get("Last-Event-ID")
	call.Header[callID] = []string{call.ID}
	if v.body {
		if call.Request, f = readBody(w, r, s.maxBody, s.buffers); f != nil {
			return f
		}
	}
	if quick {
		s.execute(w, r, x, path, query)
		return nil
	}
	body := &wholeBody{}
	if call.Request != nil {
		body.bytes = call.Request.B
	}
	inner := r.WithContext(api.WithCall(r.Context(), call))
	inner.Method = v.method
	inner.URL = &url.URL{Path: path}
	inner.Body, inner.ContentLength = body, int64(len(body.bytes))
	// Set, the two forms keep net/http from reading the query again, or the body, whatever its type says it is.
	inner.Form, inner.PostForm = form, form
	inner.Header = http.Header{}
	if deadline := r.Header["Grpc-Timeout"]; len(deadline) > 0 {
		inner.Header["Grpc-Timeout"] = deadline
	}
	s.mux.ServeHTTP(w, inner)
	return nil
}

// page returns what is served besides the contract.
func (s *surface) page(path string) (func(http.ResponseWriter, *api.Call), bool) {
	switch path {
	case "/healthz":
		return func(w http.ResponseWriter, call *api.Call) { text(w, call, http.StatusOK, "ok\n") }, true
	case "/readyz":
		return func(w http.ResponseWriter, call *api.Call) {
			if s.ready() {
				text(w, call, http.StatusOK, "ready\n")
			} else {
				text(w, call, http.StatusServiceUnavailable, "not ready\n")
			}
		}, true
	case "/openapi.json":
		return func(w http.ResponseWriter, call *api.Call) {
			w.Header().Set("Content-Type", "application/json")
			write(w, call, http.StatusOK, openapi.Document)
		}, true
	}
	return nil, false
}

func text(w http.ResponseWriter, call *api.Call, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	write(w, call, code, []byte(s))
}

// write sends an answer of known length.
func write(w http.ResponseWriter, call *api.Call, code int, body []byte) {
	head(w.Header(), call)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// head sets what every answer carries: the call's id and the upstream's. Where the upstream gave none, ours stands for
// both: programs written for AzureML print x-ms-request-id when something went wrong.
func head(h http.Header, call *api.Call) {
	for name, values := range call.Answer {
		h[name] = values
	}
	id := call.Header[callID] // as it was sent upstream
	if len(id) != 1 || id[0] != call.ID {
		id = []string{call.ID}
	}
	h[callID] = id
	if len(h["X-Ms-Request-Id"]) == 0 {
		h["X-Ms-Request-Id"] = id
	}
}

// answerHead is run by the generated mux before it writes an answer.
func answerHead(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
	call := api.CallFrom(ctx)
	head(w.Header(), call)
	switch {
	case call.NoContent:
		delete(w.Header(), "Content-Type")
		w.WriteHeader(http.StatusNoContent)
	case len(call.Body) == 0 && call.Body != nil:
		delete(w.Header(), "Content-Type") // of nothing
	}
	return nil
}

// answerBody puts AzureML's own answer in the place of a message where there is one.
func answerBody(ctx context.Context, msg proto.Message) (any, error) {
	call := api.CallFrom(ctx)
	switch {
	case call.NoContent:
		return []byte{}, nil
	case call.Body != nil:
		return call.Body, nil
	}
	return msg, nil
}

// gatewayError is how the generated mux reports an error.
func gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	fail(w, api.CallFrom(ctx), api.FailureOf(err))
}

// fail answers with an error in AzureML's envelope.
func fail(w http.ResponseWriter, call *api.Call, f *api.Failure) {
	call.Failure = f
	h := w.Header()
	head(h, call)
	delete(h, "Content-Encoding")
	h.Set("Content-Type", f.ContentType)
	if f.ContentEncoding != "" {
		h.Set("Content-Encoding", f.ContentEncoding)
	}
	if f.Allow != "" {
		h.Set("Allow", f.Allow)
	}
	if f.RetryAfter > 0 && len(h["Retry-After"]) == 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Content-Length", strconv.Itoa(len(f.Body)))
	w.WriteHeader(f.HTTP)
	_, _ = w.Write(f.Body)
}

// rawMarshaler reads and writes AzureML's JSON as the bytes it is. Everything else is plain protojson.
type rawMarshaler struct{}

// ContentType is AzureML's.
func (rawMarshaler) ContentType(any) string { return "application/json; charset=utf-8" }

// Marshal returns bytes as they are, and a string (the job id) as a JSON string with nothing after it: clients strip
// the first and the last character.
func (rawMarshaler) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return json.Marshal(v)
	case proto.Message:
		return protojson.Marshal(v)
	}
	return nil, fmt.Errorf("a %T cannot be answered", v)
}

// Unmarshal reads a message.
func (rawMarshaler) Unmarshal(b []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = b
		return nil
	case proto.Message:
		return protojson.Unmarshal(b, v)
	}
	return fmt.Errorf("a %T cannot be read", v)
}

// NewDecoder returns a decoder of one value, the whole body.
func (m rawMarshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		if body, ok := r.(*wholeBody); ok {
			return m.Unmarshal(body.take(), v)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return m.Unmarshal(b, v)
	})
}

// NewEncoder returns an encoder; only streams use it.
func (m rawMarshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := m.Marshal(v)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 && code >= 200 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

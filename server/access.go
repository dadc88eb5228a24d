package server

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/amlgate/amlgate/server/api"
)

// accessLog counts each call and writes a line for it. It names route templates, never URLs: those hold ids, and queries hold keys.
type accessLog struct {
	log     *slog.Logger
	metrics *metrics
	methods map[string]bool // native gRPC's, all that there are: others are a caller's invention, and not repeated

	mu    sync.RWMutex
	lines map[target]slog.Handler // whose words are written once
}

// target is where a call goes: on REST a verb and a path's template, over gRPC a method. There are not many of either.
type target struct{ surface, verb, path string }

func (t target) String() string {
	if t.verb == "" {
		return t.path
	}
	return t.verb + " " + t.path
}

// handler returns what writes a target's lines.
func (a *accessLog) handler(t target) slog.Handler {
	a.mu.RLock()
	h := a.lines[t]
	a.mu.RUnlock()
	if h == nil {
		h = a.log.With("surface", t.surface, "route", t.String()).Handler()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.lines == nil {
			a.lines = make(map[target]slog.Handler)
		}
		a.lines[t] = h
	}
	return h
}

// rest logs a call over REST. Probes and pages are logged for debugging only.
func (a *accessLog) rest(ctx context.Context, path, method string, call *api.Call, code int, start time.Time) {
	end := time.Now()
	took := end.Sub(start)
	level := slog.LevelInfo
	grpcCode := "OK"
	switch {
	case call.Failure != nil:
		grpcCode = call.Failure.Code()
	case !strings.HasPrefix(path, "/workspaces"):
		level = slog.LevelDebug
	}
	t := target{"rest", methodName(method), path}
	a.metrics.count(t, grpcCode, took, call.Upstream)
	if h := a.handler(t); h.Enabled(ctx, level) {
		line(ctx, h, level, call, end, took, slog.String("code", grpcCode), slog.Int("http", code))
	}
}

// methodName is a verb for the log; an invented one is not repeated there.
func methodName(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "OTHER"
}

// line writes the line: what the surface knows, then what both have.
func line(ctx context.Context, h slog.Handler, level slog.Level, call *api.Call, end time.Time, took time.Duration, known ...slog.Attr) {
	var room [8]slog.Attr
	attrs := append(append(room[:0], known...),
		slog.Float64("ms", ms(took-call.Upstream)),
		slog.Float64("upstream_ms", ms(call.Upstream)),
		slog.Int("upstream_http", call.UpstreamStatus),
		slog.String("id", call.ID))
	if f := call.Failure; f != nil {
		if f.HTTP >= http.StatusInternalServerError && f.HTTP != http.StatusNotImplemented {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.String("error", f.Error()))
		if f.Cause != nil {
			attrs = append(attrs, slog.String("cause", f.Cause.Error()))
		}
	}
	// Not through the Logger, which would look up the line of code that calls it.
	record := slog.NewRecord(end, level, "call", 0)
	record.AddAttrs(attrs...)
	_ = h.Handle(ctx, record)
}

// ms is milliseconds with three decimals, enough for what is worth reading.
func ms(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1000 }

// The methods below make accessLog a stats.Handler: unlike an interceptor, it also sees the calls that never reach one,
// such as those of an unknown method or with a message too large.

// rpc is a native call under way.
type rpc struct {
	call   api.Call
	method string
	start  time.Time
	conn   *grpcConn
	loan   *loan // of the answer, nil for none
}

type rpcKey struct{}

// rpcFrom returns the native call of a context, which has one wherever a message is read or written.
func rpcFrom(ctx context.Context) *rpc {
	c, _ := ctx.Value(rpcKey{}).(*rpc)
	return c
}

// TagRPC makes the call's Call. What of the metadata goes upstream goes by the same names as REST's headers.
func (a *accessLog) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	c := &rpc{method: info.FullMethodName, start: time.Now()}
	c.conn, _ = ctx.Value(connKey{}).(*grpcConn)
	c.call.ID = requestID(first(md.Get("x-ms-client-request-id")))
	c.call.Header = make(http.Header, 4)
	for _, name := range passedMetadata {
		if v := md[name.key]; len(v) > 0 {
			c.call.Header[name.header] = v
		}
	}
	c.call.Header["X-Ms-Client-Request-Id"] = []string{c.call.ID}
	c.call.Keys = append(md.Get("ocp-apim-subscription-key"), md.Get("subscription-key")...)
	return context.WithValue(api.WithCall(ctx, &c.call), rpcKey{}, c)
}

var passedMetadata = []struct{ key, header string }{
	{"authorization", "Authorization"},
	{"traceparent", "Traceparent"},
	{"azureml-model-deployment", "Azureml-Model-Deployment"},
}

// HandleRPC logs the end of a call. Health checks are logged for debugging only, like REST's.
func (a *accessLog) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		// The answer was queued. If the stream was over by then, its transport may have forgotten it already and drop the
		// answer without giving the buffer back; if not, the end of the stream comes behind the answer and frees it.
		if c := rpcFrom(ctx); c != nil && c.loan != nil && ctx.Err() != nil {
			c.loan.forget()
		}
		return
	}
	end, ok := s.(*stats.End)
	if !ok {
		return
	}
	c := rpcFrom(ctx)
	if c == nil {
		return
	}
	c.call.Release()
	if c.loan != nil && end.Error != nil {
		c.loan.forget() // the stream was over before the answer could be queued
	}
	level, method := slog.LevelInfo, c.method
	switch {
	case !a.methods[method]:
		method = "unknown"
	case strings.HasPrefix(method, "/grpc."):
		level = slog.LevelDebug
	}
	if end.Error != nil && c.call.Failure == nil {
		c.call.Failure = api.FailureOf(end.Error)
	}
	code, took := status.Code(end.Error).String(), end.EndTime.Sub(c.start)
	t := target{surface: "grpc", path: method}
	a.metrics.count(t, code, took, c.call.Upstream)
	if h := a.handler(t); h.Enabled(ctx, level) {
		line(ctx, h, level, &c.call, end.EndTime, took, slog.String("code", code))
	}
}

// TagConn makes the connection's list of loans.
func (a *accessLog) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, connKey{}, &grpcConn{})
}

// HandleConn ends the loans of a connection that has ended.
func (a *accessLog) HandleConn(ctx context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); !ok {
		return
	}
	if c, ok := ctx.Value(connKey{}).(*grpcConn); ok {
		c.close()
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// newID returns an id for a call: 32 hex digits, as AzureML writes ids. It tells calls apart and is no secret.
func newID() string {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

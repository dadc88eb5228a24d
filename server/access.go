package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/amlgate/amlgate/server/api"
)

// accessLog writes one line a call. It names route templates, never URLs: those hold ids, and queries hold keys.
type accessLog struct{ log *slog.Logger }

// rest logs a call over REST. Probes and pages are logged for debugging only.
func (a *accessLog) rest(ctx context.Context, route, method string, call *api.Call, code int, took time.Duration) {
	level := slog.LevelInfo
	grpcCode := "OK"
	switch {
	case call.Failure != nil:
		grpcCode = call.Failure.Code()
	case !strings.HasPrefix(route, "/workspaces"):
		level = slog.LevelDebug
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	a.line(ctx, level, call, took, slog.String("surface", "rest"), slog.String("route", methodName(method)+" "+route),
		slog.String("code", grpcCode), slog.Int("http", code))
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
func (a *accessLog) line(ctx context.Context, level slog.Level, call *api.Call, took time.Duration, attrs ...slog.Attr) {
	attrs = append(attrs,
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
	a.log.LogAttrs(ctx, level, "call", attrs...)
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
}

type rpcKey struct{}

// TagRPC makes the call's Call. What of the metadata goes upstream goes by the same names as REST's headers.
func (a *accessLog) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	c := &rpc{method: info.FullMethodName, start: time.Now()}
	c.call.ID = requestID(first(md.Get("x-ms-client-request-id")))
	c.call.Header = make(http.Header, 4)
	for _, name := range passedMetadata {
		if v := md[name.key]; len(v) > 0 {
			c.call.Header[name.header] = v
		}
	}
	c.call.Header["X-Ms-Client-Request-Id"] = []string{c.call.ID}
	return context.WithValue(api.WithCall(ctx, &c.call), rpcKey{}, c)
}

var passedMetadata = []struct{ key, header string }{
	{"authorization", "Authorization"},
	{"traceparent", "Traceparent"},
	{"azureml-model-deployment", "Azureml-Model-Deployment"},
}

// HandleRPC logs the end of a call. Health checks are logged for debugging only, like REST's.
func (a *accessLog) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	if !ok {
		return
	}
	c, ok := ctx.Value(rpcKey{}).(*rpc)
	if !ok {
		return
	}
	level, method := slog.LevelInfo, c.method
	switch {
	case strings.HasPrefix(method, "/grpc."):
		level = slog.LevelDebug
	case !strings.HasPrefix(method, "/amlgate."):
		method = "unknown"
	}
	if end.Error != nil && c.call.Failure == nil {
		c.call.Failure = api.FailureOf(end.Error)
	}
	if a.log.Enabled(ctx, level) {
		a.line(ctx, level, &c.call, end.EndTime.Sub(c.start), slog.String("surface", "grpc"),
			slog.String("route", method), slog.String("code", status.Code(end.Error).String()))
	}
}

// TagConn and HandleConn have nothing to do.
func (a *accessLog) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn has nothing to do.
func (a *accessLog) HandleConn(context.Context, stats.ConnStats) {}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// newID returns an id for a call: 32 hex digits, as AzureML writes ids.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
)

// The chain is what every call of either surface passes, outermost first. Recovery stands last, so that the others see
// a panic as the error that it becomes. Native gRPC runs it as interceptors; REST through chained, in the same order.
func (s *Server) chain() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{checkCredential, recovered(s.log)}
}

// checkCredential refuses a call with two credentials: which one counts would be anybody's guess. A call with none goes
// on, since in passthrough it is the upstream that says who may score.
func checkCredential(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if given := api.CallFrom(ctx).Header["Authorization"]; len(given) > 1 {
		return nil, api.Refuse(api.InvalidHeader, "authorization", "given %d times; one is allowed", len(given))
	}
	return next(ctx, req)
}

// recovered turns a panic into an error. The stack goes to the log and nowhere else.
func recovered(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if p := recover(); p != nil {
				log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("id", api.CallFrom(ctx).ID), slog.String("method", info.FullMethod),
					slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
				resp, err = nil, api.FailureOf(fmt.Errorf("panic: %v", p))
			}
		}()
		return next(ctx, req)
	}
}

// sendHead is native gRPC's outermost interceptor: it sends the upstream's facts as header metadata, as REST sends them
// as headers.
func sendHead(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	call := api.CallFrom(ctx)
	if err != nil {
		call.Failure = api.FailureOf(err)
		err = call.Failure
	}
	md := metadata.MD{"x-ms-client-request-id": {call.ID}}
	for name, values := range call.Answer {
		key := strings.ToLower(name)
		switch {
		case key == "content-type" || key == "content-encoding" || key == "date" || strings.HasSuffix(key, "-bin"):
			continue // HTTP's own, or what gRPC would take for base64
		case slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, notPrintable) }):
			continue // one such value and gRPC would drop them all
		}
		md[key] = values
	}
	_ = grpc.SetHeader(ctx, md) // fails only where the call is over anyway
	return resp, err
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// joined is the chain as one interceptor.
func joined(chain []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		for i := len(chain) - 1; i >= 0; i-- {
			inner, link := next, chain[i]
			next = func(ctx context.Context, req any) (any, error) { return link(ctx, req, info, inner) }
		}
		return next(ctx, req)
	}
}

// through runs one method of a service behind the chain.
func through[Q, R proto.Message](ctx context.Context, chain grpc.UnaryServerInterceptor, server any, method string, req Q, do func(context.Context, Q) (R, error)) (R, error) {
	resp, err := chain(ctx, req, &grpc.UnaryServerInfo{Server: server, FullMethod: method}, func(ctx context.Context, req any) (any, error) {
		return do(ctx, req.(Q))
	})
	if err != nil {
		var none R
		return none, err
	}
	return resp.(R), nil
}

// chained is a ScoringService for the generated mux, which calls servers directly and past all interceptors.
type chained struct {
	v1.UnsafeScoringServiceServer
	server v1.ScoringServiceServer
	chain  grpc.UnaryServerInterceptor
}

func (c *chained) Execute(ctx context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
	return through(ctx, c.chain, c.server, v1.ScoringService_Execute_FullMethodName, req, c.server.Execute)
}

func (c *chained) GetServiceSchema(ctx context.Context, req *v1.GetServiceSchemaRequest) (*v1.GetServiceSchemaResponse, error) {
	return through(ctx, c.chain, c.server, v1.ScoringService_GetServiceSchema_FullMethodName, req, c.server.GetServiceSchema)
}

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
	return []grpc.UnaryServerInterceptor{checkCredential, s.gate.unary, recovered(s.log)}
}

// checkCredential refuses a call with two credentials: which one counts would be anybody's guess. A call with none goes
// on, since in passthrough it is the upstream that says who may score.
func checkCredential(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if f := oneCredential(ctx); f != nil {
		return nil, f
	}
	return next(ctx, req)
}

func oneCredential(ctx context.Context) *api.Failure {
	if given := api.CallFrom(ctx).Header["Authorization"]; len(given) > 1 {
		return api.Refuse(api.InvalidHeader, "authorization", "given %d times; one is allowed", len(given))
	}
	return nil
}

// recovered turns a panic into an error. The stack goes to the log and nowhere else.
func recovered(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if p := recover(); p != nil {
				resp, err = nil, panicked(ctx, log, info.FullMethod, p)
			}
		}()
		return next(ctx, req)
	}
}

func panicked(ctx context.Context, log *slog.Logger, method string, p any) error {
	log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("id", api.CallFrom(ctx).ID), slog.String("method", method),
		slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	return api.FailureOf(fmt.Errorf("panic: %v", p))
}

// streamChain is the chain for streams, in one piece: the same checks in the same order.
func streamChain(log *slog.Logger, gate *gate) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		ctx := stream.Context()
		if f := oneCredential(ctx); f != nil {
			return f
		}
		if f := gate.check(api.CallFrom(ctx)); f != nil {
			return f
		}
		defer func() {
			if p := recover(); p != nil {
				err = panicked(ctx, log, info.FullMethod, p)
			}
		}()
		return next(srv, stream)
	}
}

// sendStreamHead sends a native stream's header metadata at once, so that a caller learns that it is open before
// anything happens on it.
func sendStreamHead(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	call := api.CallFrom(stream.Context())
	_ = stream.SendHeader(metadata.MD{"x-ms-client-request-id": {call.ID}})
	err := next(srv, stream)
	if err != nil {
		call.Failure = api.FailureOf(err)
		return call.Failure
	}
	return nil
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

// behind puts a method behind the chain, once for all its calls.
func behind[Q, R proto.Message](chain []grpc.UnaryServerInterceptor, server any, method string, do func(context.Context, Q) (R, error)) func(context.Context, Q) (R, error) {
	info := &grpc.UnaryServerInfo{Server: server, FullMethod: method}
	next := func(ctx context.Context, req any) (any, error) { return do(ctx, req.(Q)) }
	for _, link := range slices.Backward(chain) {
		inner := next
		next = func(ctx context.Context, req any) (any, error) { return link(ctx, req, info, inner) }
	}
	return func(ctx context.Context, req Q) (R, error) {
		resp, err := next(ctx, req)
		if err != nil {
			var none R
			return none, err
		}
		return resp.(R), nil
	}
}

// chained is a ScoringService for the generated mux, which calls servers directly and past all interceptors.
type chained struct {
	v1.UnsafeScoringServiceServer
	execute func(context.Context, *v1.ExecuteRequest) (*v1.ExecuteResponse, error)
	schema  func(context.Context, *v1.GetServiceSchemaRequest) (*v1.GetServiceSchemaResponse, error)
}

func newChained(server v1.ScoringServiceServer, chain []grpc.UnaryServerInterceptor) *chained {
	return &chained{
		execute: behind(chain, server, v1.ScoringService_Execute_FullMethodName, server.Execute),
		schema:  behind(chain, server, v1.ScoringService_GetServiceSchema_FullMethodName, server.GetServiceSchema),
	}
}

func (c *chained) Execute(ctx context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
	return c.execute(ctx, req)
}

func (c *chained) GetServiceSchema(ctx context.Context, req *v1.GetServiceSchemaRequest) (*v1.GetServiceSchemaResponse, error) {
	return c.schema(ctx, req)
}

// chainedJobs is chained for JobService.
type chainedJobs struct {
	v1.UnsafeJobServiceServer
	server v1.JobServiceServer
	submit func(context.Context, *v1.SubmitJobRequest) (*v1.SubmitJobResponse, error)
	start  func(context.Context, *v1.StartJobRequest) (*v1.StartJobResponse, error)
	get    func(context.Context, *v1.GetJobRequest) (*v1.GetJobResponse, error)
	remove func(context.Context, *v1.DeleteJobRequest) (*v1.DeleteJobResponse, error)
	list   func(context.Context, *v1.ListJobsRequest) (*v1.ListJobsResponse, error)
	stream grpc.StreamServerInterceptor
}

func newChainedJobs(server v1.JobServiceServer, chain []grpc.UnaryServerInterceptor, stream grpc.StreamServerInterceptor) *chainedJobs {
	return &chainedJobs{
		server: server, stream: stream,
		submit: behind(chain, server, v1.JobService_SubmitJob_FullMethodName, server.SubmitJob),
		start:  behind(chain, server, v1.JobService_StartJob_FullMethodName, server.StartJob),
		get:    behind(chain, server, v1.JobService_GetJob_FullMethodName, server.GetJob),
		remove: behind(chain, server, v1.JobService_DeleteJob_FullMethodName, server.DeleteJob),
		list:   behind(chain, server, v1.JobService_ListJobs_FullMethodName, server.ListJobs),
	}
}

func (c *chainedJobs) SubmitJob(ctx context.Context, req *v1.SubmitJobRequest) (*v1.SubmitJobResponse, error) {
	return c.submit(ctx, req)
}

func (c *chainedJobs) StartJob(ctx context.Context, req *v1.StartJobRequest) (*v1.StartJobResponse, error) {
	return c.start(ctx, req)
}

func (c *chainedJobs) GetJob(ctx context.Context, req *v1.GetJobRequest) (*v1.GetJobResponse, error) {
	return c.get(ctx, req)
}

func (c *chainedJobs) DeleteJob(ctx context.Context, req *v1.DeleteJobRequest) (*v1.DeleteJobResponse, error) {
	return c.remove(ctx, req)
}

func (c *chainedJobs) ListJobs(ctx context.Context, req *v1.ListJobsRequest) (*v1.ListJobsResponse, error) {
	return c.list(ctx, req)
}

func (c *chainedJobs) WatchJob(req *v1.WatchJobRequest, stream grpc.ServerStreamingServer[v1.WatchJobResponse]) error {
	info := &grpc.StreamServerInfo{FullMethod: v1.JobService_WatchJob_FullMethodName, IsServerStream: true}
	return c.stream(c.server, stream, info, func(any, grpc.ServerStream) error { return c.server.WatchJob(req, stream) })
}

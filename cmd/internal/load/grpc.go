package load

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// MaxMessage is the largest answer taken over gRPC, in bytes.
const MaxMessage = 1 << 30

// NewGRPC returns a target at a gRPC address that is sent req, its workspace and service filled in from c. The workers
// share the connections.
func NewGRPC(address string, c Call, req *v1.ExecuteRequest, connections int) (*Target, error) {
	req = proto.CloneOf(req)
	req.Workspace, req.Service = c.Workspace, c.Service
	_, tables := req.GetPayload().(*v1.ExecuteRequest_Tables)
	req.Details = !tables
	wire, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	return NewMethod(address, c, v1.ScoringService_Execute_FullMethodName, wire, checkMessage(tables), connections)
}

// NewMethod is NewGRPC for any unary method: it is sent wire, a message already, and check says what is wrong with an
// answer's bytes, nil for nothing. Messages are not built and taken apart for every call, so that the load stays cheap.
func NewMethod(address string, c Call, method string, wire []byte, check func([]byte) error, connections int) (*Target, error) {
	g := &grpcTarget{call: c, method: method, wire: wire, metadata: metadata.MD{}}
	g.answers.check = check
	if c.Key != "" {
		g.metadata.Set("authorization", "Bearer "+c.Key)
	}
	for name, value := range c.Header {
		g.metadata.Set(name, value)
	}
	creds := insecure.NewCredentials()
	if c.TLS != nil {
		creds = credentials.NewTLS(c.TLS)
	}
	for range connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithUserAgent("amlgate-bench"), grpc.WithNoProxy(),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wireCodec{}), grpc.MaxCallRecvMsgSize(MaxMessage)))
		if err != nil {
			g.close()
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		g.conns = append(g.conns, conn)
	}
	return &Target{call: g.execute, close: g.close}, nil
}

// grpcTarget is a service over gRPC.
type grpcTarget struct {
	call     Call
	method   string
	wire     []byte
	metadata metadata.MD
	answers  answers
	conns    []*grpc.ClientConn
}

func (t *grpcTarget) execute(ctx context.Context, worker int) Outcome {
	ctx, cancel := context.WithTimeout(ctx, t.call.Timeout)
	defer cancel()
	answer := message{answers: &t.answers}
	err := t.conns[worker%len(t.conns)].Invoke(metadata.NewOutgoingContext(ctx, t.metadata), t.method, t.wire, &answer)
	outcome := Outcome{Sent: len(t.wire), Received: answer.size}
	if err != nil {
		st := status.Convert(err)
		outcome.Failure, outcome.Detail = st.Code().String(), st.Message()
		outcome.Unanswered = st.Code() == codes.Unavailable
		return outcome
	}
	if answer.wrong != nil {
		outcome.Failure, outcome.Detail, outcome.Wrong = "wrong answer", answer.wrong.Error(), true
	}
	return outcome
}

func (t *grpcTarget) close() {
	for _, conn := range t.conns {
		_ = conn.Close()
	}
}

// message is an answer as it is received: its size, and what is wrong with it.
type message struct {
	answers *answers
	size    int
	wrong   error
}

// wireCodec sends bytes that are a message already, and checks answers instead of taking them apart.
type wireCodec struct{}

// Name says that the bytes are Protobuf.
func (wireCodec) Name() string { return "proto" }

func (wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m := v.(*message)
	m.size = data.Len()
	if known := m.answers.known.Load(); known != nil && equal(data, *known) {
		return nil
	}
	m.wrong = m.answers.wrong(data.Materialize())
	return nil
}

// equal compares a message in pieces with a whole one.
func equal(data mem.BufferSlice, whole []byte) bool {
	for _, piece := range data {
		rest, found := bytes.CutPrefix(whole, piece.ReadOnlyData())
		if !found {
			return false
		}
		whole = rest
	}
	return len(whole) == 0
}

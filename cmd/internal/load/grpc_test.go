package load

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// scorer answers as its function says.
type scorer struct {
	v1.UnimplementedScoringServiceServer
	execute func(context.Context, *v1.ExecuteRequest) (*v1.ExecuteResponse, error)
}

// Execute calls the function.
func (s *scorer) Execute(ctx context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
	return s.execute(ctx, req)
}

// overGRPC makes calls at a service and returns the report.
func overGRPC(t *testing.T, req *v1.ExecuteRequest, plan Plan, connections int, execute func(context.Context, *v1.ExecuteRequest) (*v1.ExecuteResponse, error)) *Report {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	v1.RegisterScoringServiceServer(srv, &scorer{execute: execute})
	go srv.Serve(listener)
	defer srv.Stop()
	target, err := NewGRPC(listener.Addr().String(), scoring, req, connections)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	return mustRun(t, t.Context(), target, plan, nil)
}

func jsonAnswer(text string) *v1.ExecuteResponse {
	return &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Json{Json: []byte(text)}}
}

func jsonRequest() *v1.ExecuteRequest {
	return &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Json{Json: []byte(`{"a":1}`)}}
}

func tablesRequest() *v1.ExecuteRequest {
	return &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Tables{Tables: Size{Rows: 2, Columns: 3}.Tables()}}
}

func TestGRPCSendsWhatAClientSends(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]int{}
	r := overGRPC(t, jsonRequest(), Plan{Concurrency: 4, Requests: 100}, 2, func(ctx context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		from, _ := peer.FromContext(ctx)
		mu.Lock()
		peers[from.Addr.String()]++
		mu.Unlock()
		if req.GetWorkspace() != "w 1" || req.GetService() != "s1" || !req.GetDetails() || string(req.GetJson()) != `{"a":1}` ||
			strings.Join(md.Get("authorization"), "") != "Bearer key-1" || strings.Join(md.Get("x-extra"), "") != "yes" {
			t.Errorf("%v %v", req, md)
		}
		return jsonAnswer(`{"Results":{}}`), nil
	})
	if r.Good != 100 || len(peers) != 2 || r.Received != 1600 || r.Sent == 0 {
		t.Errorf("%+v over %d connections", r, len(peers))
	}
}

func TestGRPCAnswers(t *testing.T) {
	table := func(rows uint32, cells ...float64) *v1.ExecuteResponse {
		return &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Tables{Tables: &v1.ScoringOutput{Results: map[string]*v1.Table{"o": {
			RowCount: rows, Columns: []*v1.Column{{Name: "c", Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: cells}}}},
		}}}}}
	}
	for name, c := range map[string]struct {
		req     *v1.ExecuteRequest
		answer  *v1.ExecuteResponse
		err     error
		failure string
		detail  string
	}{
		"json":         {req: jsonRequest(), answer: jsonAnswer(`{}`)},
		"tables":       {req: tablesRequest(), answer: table(2, 1, 2)},
		"half JSON":    {jsonRequest(), jsonAnswer(`{"a"`), nil, "wrong answer", "no whole JSON object"},
		"other lane":   {jsonRequest(), table(2, 1, 2), nil, "wrong answer", "an empty body"},
		"no tables":    {tablesRequest(), jsonAnswer(`{}`), nil, "wrong answer", "no tables"},
		"ragged":       {tablesRequest(), table(3, 1, 2), nil, "wrong answer", `table "o", column 0 has 2 cells for 3 rows`},
		"status":       {jsonRequest(), nil, status.Error(codes.ResourceExhausted, "slow down"), "ResourceExhausted", "slow down"},
		"unauthorized": {jsonRequest(), nil, status.Error(codes.Unauthenticated, "who?"), "Unauthenticated", "who?"},
	} {
		t.Run(name, func(t *testing.T) {
			r := overGRPC(t, c.req, Plan{Concurrency: 1, Requests: 2}, 1, func(context.Context, *v1.ExecuteRequest) (*v1.ExecuteResponse, error) { return c.answer, c.err })
			if c.failure == "" && r.Good != 2 || c.failure != "" && (len(r.Failures) != 1 || r.Failures[0].Kind != c.failure || r.Failures[0].Count != 2 || r.Failures[0].Detail != c.detail) {
				t.Errorf("%+v", r)
			}
			if c.failure == "wrong answer" && r.Wrong != 2 {
				t.Errorf("%d wrong answers", r.Wrong)
			}
		})
	}
}

// TestLargeMessagesArriveInPieces: an answer larger than a frame is compared in pieces, and must be equal to its end.
func TestLargeMessagesArriveInPieces(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 300_000) + `"}`
	n := 0
	r := overGRPC(t, jsonRequest(), Plan{Concurrency: 1, Requests: 4}, 1, func(context.Context, *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
		if n++; n == 3 {
			return jsonAnswer(long[:len(long)-1] + "]"), nil
		}
		return jsonAnswer(long), nil
	})
	if r.Good != 3 || r.Wrong != 1 {
		t.Errorf("%+v", r)
	}
}

// TestTablesAskForNoDetails: the tables lane refuses the flag.
func TestTablesAskForNoDetails(t *testing.T) {
	overGRPC(t, tablesRequest(), Plan{Concurrency: 1, Requests: 1}, 1, func(_ context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
		if req.GetDetails() || len(req.GetTables().GetInputs()["input1"].GetColumns()) != 3 {
			t.Errorf("%v", req)
		}
		return nil, status.Error(codes.Internal, "")
	})
}

func TestGRPCWithNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	target, err := NewGRPC(listener.Addr().String(), scoring, jsonRequest(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: 1}, nil)
	if len(r.Failures) != 1 || r.Failures[0].Kind != "Unavailable" || r.Elapsed < pause {
		t.Errorf("%+v", r)
	}
}

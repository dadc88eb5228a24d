package server_test

import (
	"testing"

	"google.golang.org/grpc"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// BenchmarkExecute measures one call after the other over loopback, by lane and size; a call's bytes are its JSON's,
// request and answer. The upstream and the client over REST allocate nothing; over gRPC the client's own work is in the
// figures.
func BenchmarkExecute(b *testing.B) {
	for _, lane := range []struct {
		name string
		run  func(*testing.B, string, string, scoringWork)
	}{{"rest", benchmarkREST}, {"grpc-json", benchmarkJSON}, {"grpc-tables", benchmarkTables}} {
		for _, w := range scoringWorks() {
			b.Run(lane.name+"/"+w.name, func(b *testing.B) {
				cfg := testConfig()
				cfg.Upstream = cannedUpstream(b, w.answer)
				srv := start(b, cfg)
				b.SetBytes(int64(len(w.request) + len(w.answer)))
				b.ReportAllocs()
				lane.run(b, srv.HTTPAddr(), srv.GRPCAddr(), w)
			})
		}
	}
}

func benchmarkREST(b *testing.B, addr, _ string, w scoringWork) {
	c := newRawCaller(b, addr, w.request)
	if err := c.call(); err != nil { // the first call connects to the upstream
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.call(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkJSON(b *testing.B, _, addr string, w scoringWork) {
	req := &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: w.request}}
	benchmarkGRPC(b, addr, req, func(resp *v1.ExecuteResponse) bool { return len(resp.GetJson()) == len(w.answer) })
}

func benchmarkTables(b *testing.B, _, addr string, w scoringWork) {
	req := &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: w.tables}}
	benchmarkGRPC(b, addr, req, func(resp *v1.ExecuteResponse) bool {
		table := resp.GetTables().GetResults()["output1"]
		return int(table.GetRowCount()) == w.rows && len(table.GetColumns()) == w.columns
	})
}

// benchmarkGRPC makes calls and holds each answer for the right one by its size.
func benchmarkGRPC(b *testing.B, addr string, req *v1.ExecuteRequest, right func(*v1.ExecuteResponse) bool) {
	client := v1.NewScoringServiceClient(dialBench(b, addr, 1)[0])
	if _, err := client.Execute(b.Context(), req, grpc.WaitForReady(true)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		resp, err := client.Execute(b.Context(), req)
		if err != nil {
			b.Fatal(err)
		}
		if !right(resp) {
			b.Fatal("another answer than the upstream's")
		}
	}
}

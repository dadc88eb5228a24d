package server_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// BenchmarkDelivery measures how long a change takes from the upstream to the last of many watchers of a job, a hundred to
// a connection, by one credential and by many. The change is asked about at once, so no poll's interval is in it. The
// clients are in the same process, and their work in the figures.
func BenchmarkDelivery(b *testing.B) {
	for _, n := range []struct{ watchers, keys int }{{1000, 1}, {1000, 1000}, {10_000, 10}} {
		b.Run(fmt.Sprintf("%dwatchers/%dkeys", n.watchers, n.keys), func(b *testing.B) { benchmarkDelivery(b, n.watchers, n.keys) })
	}
}

func benchmarkDelivery(b *testing.B, watchers, keys int) {
	up := newFakeJobs(b)
	up.set("j1", "step 0")
	cfg := testConfig()
	cfg.Upstream = up.url
	cfg.Watch.PollMin, cfg.Watch.PollMax = time.Hour, time.Hour
	srv := start(b, cfg)
	var conns []*grpc.ClientConn
	for range watchers / 100 {
		conn, err := grpc.NewClient(srv.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	var open, told sync.WaitGroup
	var mu sync.Mutex
	var last time.Time
	arrived := func() {
		mu.Lock()
		last = time.Now()
		mu.Unlock()
		told.Done()
	}
	open.Add(watchers)
	for i := range watchers {
		ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", fmt.Sprint("Bearer k", i%keys))
		stream, err := v1.NewJobServiceClient(conns[i%len(conns)]).WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for first := true; ; {
				e, err := stream.Recv()
				switch {
				case err != nil:
					return
				case e.GetJob() == nil:
				case first:
					first = false
					open.Done()
				default:
					arrived()
				}
			}
		}()
	}
	open.Wait()
	before := up.asked()
	client := v1.NewJobServiceClient(conns[0])
	ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "Bearer k0")
	var took []time.Duration
	for n := 1; b.Loop(); n++ {
		up.set("j1", fmt.Sprint("step ", n))
		told.Add(watchers)
		begin := time.Now()
		if _, err := client.GetJob(ctx, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"}); err != nil {
			b.Fatal(err)
		}
		told.Wait()
		took = append(took, last.Sub(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(before), "proofs")
}

package server_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

// BenchmarkDelivery measures how long a change takes from the upstream to the last of many watchers of a job, a hundred to
// a connection, by one credential and by many, and the CPU time that it takes the server, a process of its own. The change
// is asked about at once, so no poll's interval is in it. The clients' work on the same machine is in the times.
func BenchmarkDelivery(b *testing.B) {
	for _, n := range []struct{ watchers, keys int }{{1000, 1}, {1000, 1000}, {10_000, 10}} {
		b.Run(fmt.Sprintf("%dwatchers/%dkeys", n.watchers, n.keys), func(b *testing.B) { benchmarkDelivery(b, n.watchers, n.keys) })
	}
}

func benchmarkDelivery(b *testing.B, watchers, keys int) {
	up := newFakeJobs(b)
	pid, addr := serveApart(b, up.url, "AMLGATE_BENCH_TOLD=1")
	c := gather(b, up, addr, "j1", watchers, keys)
	before, spent := up.asked(), busy(b, pid)
	var took []time.Duration
	for b.Loop() {
		took = append(took, c.change(b))
	}
	b.ReportMetric(float64((busy(b, pid)-spent).Microseconds())/float64(len(took)*watchers), "CPU-us/delivery")
	reportDelivery(b, "", took)
	b.ReportMetric(float64(before), "proofs")
}

// BenchmarkStalled measures the same for two jobs in turn, a thousand watchers each. One of them has another watcher, who
// does not read: for that one as much is queued as there is room for.
func BenchmarkStalled(b *testing.B) {
	up := newFakeJobs(b)
	srv := start(b, crowdConfig(up))
	crowds := []*crowd{gather(b, up, srv.GRPCAddr(), "j1", 1000, 1), gather(b, up, srv.GRPCAddr(), "j2", 1000, 1)}
	stalled := newH2(b, srv)
	stalled.await(b, stalled.call(b, v1.JobService_WatchJob_FullMethodName, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j2"}))
	for range 1000 {
		crowds[1].change(b)
	}
	took := make([][]time.Duration, len(crowds))
	for b.Loop() {
		for i, c := range crowds {
			took[i] = append(took[i], c.change(b))
		}
	}
	reportDelivery(b, "", took[0])
	reportDelivery(b, "stalled-", took[1])
}

func reportDelivery(b *testing.B, prefix string, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, prefix+"p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, prefix+"p99-ms")
}

// crowdConfig is of a server that asks about a job only when it is told to.
func crowdConfig(up *fakeJobs) server.Config {
	cfg := testConfig()
	cfg.Upstream = up.url
	cfg.Watch.PollMin, cfg.Watch.PollMax = time.Hour, time.Hour
	return cfg
}

// crowd is many watchers of a job, a hundred to a connection.
type crowd struct {
	up     *fakeJobs
	job    string
	size   int
	step   int
	client v1.JobServiceClient

	told sync.WaitGroup // who has not been told of the change yet
	mu   sync.Mutex
	last time.Time // when the last one was
}

// gather opens a crowd's watches, by the credentials k0 and on.
func gather(b *testing.B, up *fakeJobs, addr, job string, watchers, keys int) *crowd {
	b.Helper()
	up.set(job, "step 0")
	conns := dialBench(b, addr, watchers/100)
	c := &crowd{up: up, job: job, size: watchers, client: v1.NewJobServiceClient(conns[0])}
	var open sync.WaitGroup
	open.Add(watchers)
	for i := range watchers {
		stream, err := v1.NewJobServiceClient(conns[i%len(conns)]).WatchJob(withKey(b.Context(), fmt.Sprint("k", i%keys)), &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: job})
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
					c.arrived()
				}
			}
		}()
	}
	open.Wait()
	return c
}

func (c *crowd) arrived() {
	c.mu.Lock()
	c.last = time.Now()
	c.mu.Unlock()
	c.told.Done()
}

// change makes a change and returns how long the last watcher waited for it.
func (c *crowd) change(b *testing.B) time.Duration {
	c.step++
	c.up.set(c.job, fmt.Sprint("step ", c.step))
	c.told.Add(c.size)
	begin := time.Now()
	if _, err := c.client.GetJob(withKey(b.Context(), "k0"), &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: c.job}); err != nil {
		b.Fatal(err)
	}
	c.told.Wait()
	return c.last.Sub(begin)
}

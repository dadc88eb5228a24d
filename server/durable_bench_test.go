package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// BenchmarkSubmit measures submits by 32 and by 1,000 callers at a time, each on the disk before it is answered, with and
// without a request id. The upstream is the embedded emulator.
func BenchmarkSubmit(b *testing.B) {
	for _, callers := range []int{32, 1000} {
		for _, repeatable := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dcallers/request_id=%v", callers, repeatable), func(b *testing.B) { benchmarkSubmit(b, callers, repeatable) })
		}
	}
}

func benchmarkSubmit(b *testing.B, callers int, repeatable bool) {
	cfg := testConfig()
	cfg.Store.Data = b.TempDir()
	conns := dialBench(b, start(b, cfg).GRPCAddr(), (callers+99)/100)
	var n, caller atomic.Int64
	b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		client := v1.NewJobServiceClient(conns[int(caller.Add(1))%len(conns)])
		for pb.Next() {
			req := &v1.SubmitJobRequest{Workspace: "demo", Service: "feature-hashing", Payload: &v1.SubmitJobRequest_Json{
				Json: []byte(`{"Input":{"ConnectionString":"UseDevelopmentStorage=true","RelativeLocation":"container/in.csv"},"Outputs":{},"GlobalParameters":{}}`)}}
			if repeatable {
				req.RequestId = fmt.Sprintf("00000000-0000-4000-8000-%012x", n.Add(1))
			}
			if _, err := client.SubmitJob(withKey(b.Context(), "demo-key"), req); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
}

func dialBench(b *testing.B, addr string, n int) []*grpc.ClientConn {
	b.Helper()
	var conns []*grpc.ClientConn
	for range n {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// BenchmarkWatchers measures what one of 10,000 watchers takes of the server's resident memory, and the CPU of a watch at
// rest, a hundred of them to a connection: on one job, and on a job each. The server is a process of its own.
func BenchmarkWatchers(b *testing.B) {
	const watchers, conns = 10_000, 100
	for _, jobs := range []int{1, watchers} {
		b.Run(fmt.Sprintf("%dwatchers/%djobs", watchers, jobs), func(b *testing.B) {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"StatusCode":"Running","Results":null,"Details":null,"CreatedAt":"2016-10-14T14:52:33.979Z","StartTime":"2016-10-14T14:52:34.979Z","EndTime":"0001-01-01T00:00:00+00:00"}`))
			}))
			b.Cleanup(up.Close)
			pid, addr := serveApart(b, up.URL)
			for b.Loop() {
				before := resident(b, pid)
				all := dialBench(b, addr, conns)
				var open sync.WaitGroup
				ctx, stop := context.WithCancel(b.Context())
				limit := make(chan struct{}, 64)
				for i := range watchers {
					limit <- struct{}{}
					open.Add(1)
					stream, err := v1.NewJobServiceClient(all[i%conns]).WatchJob(withKey(ctx, fmt.Sprint("k", i%50)), &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: fmt.Sprint("j", i%jobs)})
					if err != nil {
						b.Fatal(err)
					}
					go func() {
						_, err := stream.Recv()
						<-limit
						open.Done()
						for err == nil {
							_, err = stream.Recv()
						}
					}()
				}
				open.Wait()
				b.ReportMetric(float64(resident(b, pid)-before)/watchers, "B/watcher")
				stop()
			}
		})
	}
}

// BenchmarkOpening measures how long 10,000 watches take to open that come all at once, a hundred to a connection, each of
// a job that the journal has not seen, and the server's CPU time for each. Every one is a write that must be on the disk.
func BenchmarkOpening(b *testing.B) {
	const watchers, conns = 10_000, 100
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"StatusCode":"Running","Results":null,"Details":null,"CreatedAt":"2016-10-14T14:52:33.979Z","StartTime":"2016-10-14T14:52:34.979Z","EndTime":"0001-01-01T00:00:00+00:00"}`))
	}))
	b.Cleanup(up.Close)
	pid, addr := serveApart(b, up.URL, "AMLGATE_BENCH_DATA="+b.TempDir())
	var spent time.Duration
	var failed atomic.Int64
	all := dialBench(b, addr, conns)
	for n := 0; b.Loop(); n++ {
		before := busy(b, pid)
		ctx, stop := context.WithCancel(b.Context())
		var open sync.WaitGroup
		for i := range watchers {
			open.Go(func() {
				stream, err := v1.NewJobServiceClient(all[i%conns]).WatchJob(withKey(ctx, fmt.Sprint("k", i%50)), &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: fmt.Sprint("j", n, "-", i)})
				if err == nil {
					_, err = stream.Recv()
				}
				if err != nil {
					failed.Add(1)
				}
			})
		}
		open.Wait()
		spent += busy(b, pid) - before
		stop()
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N*watchers), "CPU-us/watch")
	b.ReportMetric(float64(failed.Load())/float64(b.N), "failed/op")
}

// busy is the CPU time that a process has had.
func busy(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("CPU time is read from /proc")
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestServeApart is not a test: it is the server of benchmarks that measure it apart from their clients.
func TestServeApart(t *testing.T) {
	upstream := os.Getenv("AMLGATE_BENCH_UPSTREAM")
	if upstream == "" {
		t.Skip("it is started by a benchmark")
	}
	cfg := testConfig()
	cfg.Upstream = upstream
	cfg.Store.Data = os.Getenv("AMLGATE_BENCH_DATA")
	cfg.Watch.PollMin, cfg.Watch.PollMax = 5*time.Second, 15*time.Second
	if os.Getenv("AMLGATE_BENCH_TOLD") != "" {
		cfg.Watch.PollMin, cfg.Watch.PollMax = time.Hour, time.Hour
	}
	cfg.Metrics = os.Getenv("AMLGATE_BENCH_METRICS")
	srv := start(t, cfg)
	fmt.Println("listening", srv.GRPCAddr())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the benchmark is over
}

// serveApart starts a server as a process of its own: where AMLGATE_BENCH_DATA is in its environment, on that folder; where
// AMLGATE_BENCH_TOLD is, one that asks about a job only when it is told to; AMLGATE_BENCH_METRICS says where its profiles are.
func serveApart(b *testing.B, upstream string, env ...string) (pid int, addr string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeApart$", "-test.v")
	cmd.Env = append(append(os.Environ(), "AMLGATE_BENCH_UPSTREAM="+upstream), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return cmd.Process.Pid, addr
		}
	}
	b.Fatal("the server did not start")
	return 0, ""
}

// resident is a process' resident memory in bytes.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("resident memory is read from /proc")
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

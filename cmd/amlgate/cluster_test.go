package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

var runCluster = flag.Bool("cluster", false, "run the cluster test, as AMLGATE_REQUIRE=all does")

// TestCluster has three NATS servers and three replicas of the service, all processes, under callers that submit, start and
// watch at whichever replica answers, in either mode. It kills a server and a replica and starts them again, and cuts a
// replica and a server off, with connections that break and with ones that fall silent; last the leader is cut off from one
// follower alone. Each fault comes while a job is watched at every replica; those watches must be told its end, and new jobs
// must run from their submit to their end, while it lasts. After it one must through each replica. In the end no job is
// lost, none was started twice or blindly, and every watcher was told every change once and the state that the upstream
// ended with, whichever replicas told it.
//
// Nothing is asserted on how long any of it takes; the log has the times.
func TestCluster(t *testing.T) {
	if !*runCluster && os.Getenv("AMLGATE_REQUIRE") != "all" {
		t.Skip("takes more than a minute; runs with -cluster or AMLGATE_REQUIRE=all")
	}
	n := seed(t)
	for i, mode := range []struct {
		name    string
		managed bool
		faults  []func(*cluster) fault
	}{
		{"managed", true, []func(*cluster) fault{killLeader, killReplica, cutReplica, silenceReplica, cutLeader, silenceLeader}},
		{"passthrough", false, []func(*cluster) fault{killLeader, killReplica, cutLeader, cutRoute}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, mode.managed, rand.New(rand.NewPCG(n, uint64(9+i))))
			c.load(6)
			began := time.Now()
			for _, f := range mode.faults {
				mended := time.Now()
				c.nats.whole(c.ctx)
				t.Logf("the cluster is whole after %s", round(time.Since(mended)))
				c.suffer(f(c))
			}
			took := time.Since(began)
			c.finish()
			t.Logf("%d faults in %s, checked in %s; %s", len(mode.faults), took.Round(time.Millisecond), (time.Since(began) - took).Round(time.Millisecond), c.summary())
		})
	}
}

// cluster is replicas on a NATS cluster, and callers.
type cluster struct {
	*caller
	ctx      context.Context
	nats     *natsCluster
	args     [3][]string
	replicas [3]*replica

	stopLoad chan struct{}
	loaded   sync.WaitGroup
}

// replica is one replica's place; its process may be another after a restart.
type replica struct {
	mu      sync.Mutex
	process *process
	conn    *grpc.ClientConn
}

func (r *replica) client() v1.JobServiceClient {
	r.mu.Lock()
	defer r.mu.Unlock()
	return v1.NewJobServiceClient(r.conn)
}

func (r *replica) stop() { r.process.stop() }

func newCluster(t *testing.T, managed bool, r *rand.Rand) *cluster {
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	t.Cleanup(cancel)
	box := started(t, "emulator", "amlgate", "emulator", "--http", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--max-jobs", "1000",
		"--fault-job-start", "10ms", "--fault-job-run", "500ms", "--fault-job-fail", "0.3")
	f := newFront(t, box.says("url"))
	c := &cluster{ctx: ctx, nats: newNATSCluster(t), stopLoad: make(chan struct{})}
	key := "demo-key"
	args := []string{"serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--upstream", f.server.URL, "--poll-min", "50ms", "--poll-max", "200ms"}
	if managed {
		key = "callers-key"
		for flag, text := range map[string]string{"--upstream-key-file": "demo-key", "--caller-key-file": key} {
			name := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, flag, name)
		}
	}
	c.caller = newCaller(t, f, key, strings.ReplaceAll(devStorage, "127.0.0.1:10000", box.says("blob")), r)
	// The replicas start together with NATS, which has not chosen its leaders yet.
	began := time.Now()
	for i := range c.replicas {
		c.replicas[i] = &replica{}
		c.args[i] = append(slices.Clone(args), "--nats", c.nats.url(i))
		c.start(i)
		t.Logf("replica %d is ready %s after NATS", i, round(time.Since(began)))
	}
	return c
}

// start starts a replica.
func (c *cluster) start(i int) {
	c.replicas[i].lives(c.t, started(c.t, fmt.Sprintf("replica %d", i), "amlgate", c.args[i]...))
}

// lives has a replica's callers go to a process.
func (r *replica) lives(t *testing.T, p *process) {
	conn, err := grpc.NewClient(p.says("grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process, r.conn = p, conn
}

// down kills a server.
func (c *natsCluster) down(i int) {
	c.servers[i].stop()
	c.servers[i] = nil
}

// load has callers think of job after job.
func (c *cluster) load(callers int) {
	for range callers {
		c.loaded.Go(func() {
			for {
				select {
				case <-c.stopLoad:
					return
				case <-c.ctx.Done():
					return
				default:
					c.through(c.newJob(), c.pick(len(c.replicas)))
				}
			}
		})
	}
}

// callPatience is when a caller gives a call up and turns to another replica. A watch that stands still is given up too.
const callPatience = 20 * time.Second

// through takes a job to its end by way of all replicas, beginning with the given one: after each failure the next.
func (c *cluster) through(j *job, first int) { c.by(j, first, first+1, first+2) }

// by takes a job to its end by way of the given replicas, counted round.
func (c *cluster) by(j *job, replicas ...int) {
	for n := 0; !j.over() && c.ctx.Err() == nil; n++ {
		own, cancel := context.WithTimeout(c.ctx, callPatience)
		err := c.drive(own, c.replicas[replicas[n%len(replicas)]%len(c.replicas)].client(), j)
		cancel()
		switch code := status.Code(err); code {
		case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		default:
			c.t.Errorf("job %s (%s): %v", j.id, j.tag, err)
			return
		}
		if err != nil {
			c.pause()
		}
	}
}

func (c *cluster) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n)
}

// explain ends the test with what the processes said last.
func (c *cluster) explain() {
	for _, r := range c.replicas {
		c.t.Logf("%s: %s", r.process.name, r.process.out)
	}
	for _, p := range c.nats.servers {
		if p != nil {
			c.t.Logf("%s: %s", p.name, p.out)
		}
	}
	c.t.FailNow()
}

// finish ends the load and checks everything at every replica.
func (c *cluster) finish() {
	close(c.stopLoad)
	c.loaded.Wait()
	c.front.settle()
	var checks sync.WaitGroup
	for i, r := range c.replicas {
		checks.Go(func() {
			c.insist(func(ctx context.Context) error { return c.caughtUp(ctx, r.client()) })
			c.insist(func(ctx context.Context) error { return c.check(ctx, r.client()) })
			for n, j := range c.all() {
				if !j.over() {
					c.t.Errorf("job %s (%s) is not over: %+v", j.id, j.tag, j.changes)
				}
				if n%len(c.replicas) == i {
					c.insist(func(ctx context.Context) error { return c.repeat(ctx, r.client(), j) })
					c.insist(func(ctx context.Context) error { return c.replay(ctx, r.client(), j) })
				}
			}
		})
	}
	checks.Wait()
	if c.t.Failed() {
		c.explain()
	}
}

// caughtUp waits until a replica lists every job as its watcher was told that it ended, by whichever replica: lists follow
// what others wrote, a moment later. What never comes is for check to report.
func (c *cluster) caughtUp(ctx context.Context, client v1.JobServiceClient) error {
	for ctx.Err() == nil {
		listed, err := c.list(ctx, client)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(c.all(), func(j *job) bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.terminal && listed[j.id].GetState() != j.last
		}) {
			break
		}
		c.pause()
	}
	return nil
}

// insist repeats a check while the service says that it cannot answer now: NATS may still be choosing a leader after the
// last fault. What a check finds to be wrong it reports itself.
func (c *cluster) insist(check func(context.Context) error) {
	for {
		own, cancel := context.WithTimeout(c.ctx, callPatience)
		err := check(own)
		cancel()
		if err == nil {
			return
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded || c.ctx.Err() != nil {
			c.t.Error(err)
			return
		}
		c.pause()
	}
}

// pause keeps a caller from spinning.
func (c *cluster) pause() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-c.ctx.Done():
	}
}

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

var (
	// The cluster test is off everywhere unless it is asked for, also in CI. An earlier form of it failed once, and why was
	// not kept; it has not failed since. After the loss of a NATS server jobs got through again after 5 to 19 s. Why it
	// takes more than the choice of a leader at times is not known, so that its length is hard to foresee.
	runCluster = flag.Bool("cluster", false, "run the cluster test")
	cutRoutes  = flag.Bool("cut-routes", false, "in the cluster test, also cut the leader off from one follower alone")
)

// TestCluster has three NATS servers and three replicas of the service, all processes, under callers that submit, start and
// watch at whichever replica answers. It kills a server and a replica and starts them again, and cuts a
// replica and a server off, with connections that break and with ones that fall silent. During each fault a job must run from
// its submit to its end, and after it one through each replica. In the end no job is lost, none was started twice or
// blindly, and every watcher was told every change once and the state that the upstream ended with, whichever replicas told it.
//
// Nothing is asserted on how long any of it takes; the log has the times.
func TestCluster(t *testing.T) {
	if !*runCluster {
		t.Skip("runs with -cluster only")
	}
	n := seed(t)
	c := newCluster(t, rand.New(rand.NewPCG(n, 9)))
	c.load(6)
	began := time.Now()
	leader := c.nats.leader(c.ctx)
	c.fault("kill of the NATS leader", func() { c.nats.down(leader) }, func() { c.nats.start(leader) })
	c.fault("kill of a replica", func() { c.replicas[0].stop() }, func() { c.start(0) })
	c.fault("cut of a replica", func() { each(c.nats.linksOf(1), (*link).sever) }, func() { each(c.nats.linksOf(1), (*link).mend) })
	c.fault("silence of a replica", func() { each(c.nats.linksOf(2), (*link).hold) }, func() { each(c.nats.linksOf(2), (*link).mend) })
	leader = c.nats.leader(c.ctx)
	c.fault("cut of the NATS leader", func() { each(c.nats.links(leader), (*link).sever) }, func() { each(c.nats.links(leader), (*link).mend) })
	leader = c.nats.leader(c.ctx)
	c.fault("silence of the NATS leader", func() { each(c.nats.links(leader), (*link).hold) }, func() { each(c.nats.links(leader), (*link).mend) })
	if *cutRoutes {
		leader = c.nats.leader(c.ctx)
		other := (leader + 1) % natsServers
		pair := []*link{c.nats.routes[leader][other], c.nats.routes[other][leader]}
		c.fault("cut between the NATS leader and a follower", func() { each(pair, (*link).sever) }, func() { each(pair, (*link).mend) })
	}
	took := time.Since(began)
	c.finish()
	t.Logf("%d faults in %s, checked in %s; %s", len(c.times), took.Round(time.Millisecond), (time.Since(began) - took).Round(time.Millisecond), c.summary())
}

func each(links []*link, do func(*link)) {
	for _, l := range links {
		do(l)
	}
}

// cluster is replicas on a NATS cluster, and callers.
type cluster struct {
	*caller
	ctx      context.Context
	nats     *natsCluster
	args     [3][]string
	replicas [3]*replica
	times    []string

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

func newCluster(t *testing.T, r *rand.Rand) *cluster {
	ctx, cancel := context.WithTimeout(t.Context(), hangGuard)
	t.Cleanup(cancel)
	box := started(t, "emulator", "amlgate", "emulator", "--http", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--max-jobs", "1000",
		"--fault-job-start", "10ms", "--fault-job-run", "300ms", "--fault-job-fail", "0.3")
	f := newFront(t, box.says("url"))
	c := &cluster{ctx: ctx, nats: newNATSCluster(t), stopLoad: make(chan struct{})}
	c.caller = newCaller(t, f, "callers-key", strings.ReplaceAll(devStorage, "127.0.0.1:10000", box.says("blob")), r)
	keys := t.TempDir()
	for name, text := range map[string]string{"upstream": "demo-key", "caller": c.key} {
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.replicas {
		c.replicas[i] = &replica{}
		c.args[i] = []string{"serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--nats", c.nats.url(i), "--upstream", f.server.URL,
			"--upstream-key-file", filepath.Join(keys, "upstream"), "--caller-key-file", filepath.Join(keys, "caller"), "--poll-min", "50ms", "--poll-max", "200ms"}
		c.start(i)
	}
	return c
}

// start starts a replica, as often as it takes: it refuses to begin while the cluster has no leader.
func (c *cluster) start(i int) {
	for {
		p, err := launch(c.t, fmt.Sprintf("replica %d", i), "amlgate", c.args[i]...)
		if err == nil {
			c.replicas[i].lives(c.t, p)
			return
		}
		if c.ctx.Err() != nil {
			c.t.Fatal(err)
		}
	}
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
					c.through(c.newJob(), 0, 1, 2)
				}
			}
		})
	}
}

// callPatience is when a caller gives a call up and turns to another replica. A watch that stands still is given up too.
const callPatience = 20 * time.Second

// through takes a job to its end by way of the given replicas: after each failure another one. It reports whether the job got there.
func (c *cluster) through(j *job, replicas ...int) bool {
	for n := c.pick(len(replicas)); !j.over() && c.ctx.Err() == nil; n++ {
		own, cancel := context.WithTimeout(c.ctx, callPatience)
		err := c.drive(own, c.replicas[replicas[n%len(replicas)]].client(), j)
		cancel()
		switch code := status.Code(err); code {
		case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		default:
			c.t.Errorf("job %s (%s): %v", j.id, j.tag, err)
			return false
		}
		if err != nil {
			c.pause()
		}
	}
	return j.over()
}

func (c *cluster) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n)
}

// fault brings a fault about, waits until a job has gone its way in spite of it, repairs it and waits until one has gone
// its way through each replica.
func (c *cluster) fault(what string, begin, end func()) {
	if c.t.Failed() {
		c.explain()
	}
	began := time.Now()
	begin()
	during := c.probe(0, 1, 2)
	known := time.Since(began)
	end()
	mended := time.Now()
	through := [len(c.replicas)]bool{}
	var probes sync.WaitGroup
	for i := range through {
		probes.Go(func() { through[i] = c.probe(i) })
	}
	probes.Wait()
	if !during || slices.Contains(through[:], false) {
		c.t.Errorf("%s: no job gets through", what)
		c.explain()
	}
	c.times = append(c.times, fmt.Sprintf("%s: a job through after %s, all replicas %s after its end", what, known.Round(10*time.Millisecond), time.Since(mended).Round(10*time.Millisecond)))
	c.t.Log(c.times[len(c.times)-1])
}

// probe takes a job through that is submitted, started and watched.
func (c *cluster) probe(replicas ...int) bool {
	j := c.newJob()
	j.rest, j.request, j.again = false, c.newID(), c.newID()
	return c.through(j, replicas...)
}

func (c *cluster) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uuid(c.rand)
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

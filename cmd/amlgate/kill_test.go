package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

var (
	killRounds = flag.Int("kill-rounds", 0, "rounds of the kill test; 0 is 200 under AMLGATE_REQUIRE=all, 20 otherwise")
	proofSeed  = flag.Uint64("proof-seed", 0, "seed of the kill and cluster tests; 0 takes one from the clock")
)

// hangGuard ends a proof that stands still. No result depends on it.
const hangGuard = 3 * time.Minute

// seed returns the seed to use, and prints it.
func seed(t *testing.T) uint64 {
	n := *proofSeed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-proof-seed %d", n)
	return n
}

// TestKills kills the service with kill -9 again and again while jobs are submitted, started and watched, starts it again
// on the same folder, and checks that nothing that was acknowledged is lost, nothing was started twice or blindly, and
// every watcher is told every change once and the state that the upstream ended with. Both modes take half of the rounds.
//
// A round has three new jobs beside all that earlier rounds left unfinished, each driven on its own, and one kill point. The
// points are events that the test sees, not moments of a clock, so that each is as likely to be hit on a slow machine:
//
//   - at the upstream: the nth submit, start or status request is killed before it goes on (and then does not), when
//     the upstream has done it but no byte of the answer has gone, when a random number of the answer's bytes have, or when all have;
//   - at the caller: when the nth submit, start or watch is sent, when the nth submit or start is acknowledged,
//     when the nth change or end is told to a watcher;
//   - on the wire: when the callers have read a random number of bytes.
//
// Half of the kills follow their point by up to three milliseconds, chosen at random; this reaches what lies between two
// such events, writes of the journal before all. A round whose point is not reached ends with a kill when all is done.
func TestKills(t *testing.T) {
	rounds := *killRounds
	if rounds == 0 {
		rounds = 20
		if os.Getenv("AMLGATE_REQUIRE") == "all" {
			rounds = 200
		}
	}
	n := seed(t)
	for i, managed := range []bool{false, true} {
		name := "passthrough"
		if managed {
			name = "managed"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newKiller(t, managed, rand.New(rand.NewPCG(n, uint64(i)))).run((rounds + i) / 2)
		})
	}
}

// killer is one mode's folder, upstream and callers.
type killer struct {
	*caller
	args []string
	conn *grpc.ClientConn

	mu      sync.Mutex
	process *process
	point   point
	dead    bool // the process was killed
	kills   map[string]int
}

// point is where to kill.
type point struct {
	where, op string
	nth       int
	torn      float64       // share of the answer's bytes that go, for atTorn
	after     time.Duration // of the event
}

const (
	atCall = "when it is called"
	atAck  = "when it is told"
	atByte = "by bytes read"
	atEnd  = "when all is done"
)

// newPoint chooses one.
func newPoint(r *rand.Rand) point {
	p := point{nth: 1 + r.IntN(3), torn: r.Float64()}
	switch n := r.IntN(100); {
	case n < 55:
		p.where = []string{atCame, atDone, atTorn, atAnswered}[r.IntN(4)]
		p.op = []string{opSubmit, opStart, opStart, opStatus}[r.IntN(4)]
		if p.op == opStatus {
			p.nth = 1 + r.IntN(25)
		}
	case n < 67:
		p.where, p.op = atCall, []string{opSubmit, opStart, opWatch}[r.IntN(3)]
	case n < 92:
		p.where, p.op = atAck, []string{opSubmit, opStart, "event", "end"}[r.IntN(4)]
		if p.op == "event" {
			p.nth = 1 + r.IntN(8)
		}
	default:
		p.where, p.nth = atByte, 1+r.IntN(4000)
	}
	if r.IntN(2) == 0 && p.where != atTorn {
		p.after = time.Duration(r.Int64N(int64(3 * time.Millisecond)))
	}
	return p
}

func newKiller(t *testing.T, managed bool, r *rand.Rand) *killer {
	// A started job that waits for its turn looks as if it had not been started: in managed mode long enough for the service
	// to come back meanwhile.
	waits := "10ms"
	if managed {
		waits = "150ms"
	}
	box := started(t, "emulator", "amlgate", "emulator", "--http", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--max-jobs", "1000",
		"--fault-job-start", waits, "--fault-job-run", "25ms", "--fault-job-fail", "0.3")
	f := newFront(t, box.says("url"))
	k := &killer{args: []string{"serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"), "--upstream", f.server.URL,
		"--poll-min", "10ms", "--poll-max", "40ms"}, kills: map[string]int{}}
	key := "demo-key"
	if managed {
		key = "callers-key"
		for flag, text := range map[string]string{"--upstream-key-file": "demo-key", "--caller-key-file": key} {
			name := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			k.args = append(k.args, flag, name)
		}
	}
	k.caller = newCaller(t, f, key, strings.ReplaceAll(devStorage, "127.0.0.1:10000", box.says("blob")), r)
	f.hook = k.reached
	f.tear = k.tear
	k.sent = func(op string) { k.reached(atCall, op) }
	k.told = func(op string) { k.reached(atAck, op) }
	return k
}

// reached is told of every event, and kills at the chosen one. It reports whether the process is dead.
func (k *killer) reached(where, op string) bool { return k.count(where, op, 1) }

func (k *killer) count(where, op string, n int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead || k.process == nil || where != k.point.where || op != k.point.op || k.point.nth <= 0 {
		return k.dead
	}
	if k.point.nth -= n; k.point.nth > 0 {
		return false
	}
	p, point := k.process, k.point
	if point.after > 0 {
		time.AfterFunc(point.after, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.process == p {
				k.strike()
			}
		})
		return false
	}
	k.strike()
	return true
}

// strike kills; the killer is locked.
func (k *killer) strike() {
	if k.dead {
		return
	}
	k.dead = true
	k.kills[k.point.where]++
	k.process.kill()
}

// tear tells how much of an answer goes.
func (k *killer) tear(op string, size int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead || k.point.where != atTorn || k.point.op != op {
		return size
	}
	if k.point.nth > 1 {
		k.point.nth--
		return size
	}
	return min(1+int(k.point.torn*float64(size)), size-1)
}

// countingConn tells of the bytes that callers read.
type countingConn struct {
	net.Conn
	k *killer
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.k.count(atByte, "", n)
	return n, err
}

// up starts the service.
func (k *killer) up() v1.JobServiceClient {
	p := started(k.t, "amlgate", "amlgate", k.args...)
	conn, err := grpc.NewClient(p.says("grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return countingConn{c, k}, err
		}))
	if err != nil {
		k.t.Fatal(err)
	}
	k.conn = conn
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process, k.dead, k.point = p, false, point{}
	return v1.NewJobServiceClient(conn)
}

// down waits until the killed service is gone and nothing of it is on its way any more.
func (k *killer) down() {
	k.mu.Lock()
	k.strike()
	p := k.process
	k.process = nil
	k.mu.Unlock()
	<-p.ended
	_ = k.conn.Close()
	k.front.settle()
}

func (k *killer) alive() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.dead
}

// run makes the rounds, then lets everything end well and checks it all.
func (k *killer) run(rounds int) {
	ctx, cancel := context.WithTimeout(k.t.Context(), hangGuard)
	defer cancel()
	client := k.up()
	began := time.Now()
	for i := range rounds {
		for range 3 {
			k.newJob()
		}
		k.mu.Lock()
		k.point = newPoint(k.rand)
		k.mu.Unlock()
		k.driveAll(ctx, client)
		k.mu.Lock()
		if !k.dead {
			k.point = point{where: atEnd}
		}
		k.mu.Unlock()
		k.down()
		client = k.up()
		k.must(k.check(ctx, client))
		if all := k.all(); true {
			for range 2 {
				k.must(k.repeat(ctx, client, all[k.rand.IntN(len(all))]))
			}
		}
		if k.t.Failed() {
			k.t.Fatalf("round %d failed; the service says %s", i, k.process.out)
		}
	}
	k.driveAll(ctx, client)
	k.must(k.check(ctx, client))
	for _, j := range k.all() {
		if !j.over() {
			k.t.Errorf("job %s (%s) is not over: %+v", j.id, j.tag, j.changes)
		}
		k.must(k.repeat(ctx, client, j))
		k.must(k.replay(ctx, client, j))
	}
	kills := k.killsByKind()
	k.down()
	k.t.Logf("%d rounds in %s; %s; killed %s", rounds, time.Since(began).Round(time.Millisecond), k.summary(), kills)
}

// killsByKind says how often the service was killed where.
func (k *killer) killsByKind() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, where := range slices.Sorted(maps.Keys(k.kills)) {
		all = append(all, fmt.Sprintf("%s: %d", where, k.kills[where]))
	}
	return strings.Join(all, ", ")
}

// must ends the test for an error of a service that nobody killed.
func (k *killer) must(err error) {
	if err != nil {
		k.t.Fatalf("%v; the service says %s", err, k.process.out)
	}
}

// driveAll drives every unfinished job as far as it goes.
func (k *killer) driveAll(ctx context.Context, client v1.JobServiceClient) {
	var work sync.WaitGroup
	for _, j := range k.open() {
		work.Go(func() {
			if err := k.drive(ctx, client, j); err != nil && k.alive() {
				k.t.Errorf("job %s (%s), of a service that lives: %v", j.id, j.tag, err)
			}
		})
	}
	work.Wait()
}

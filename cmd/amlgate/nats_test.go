package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsMain is one server of a NATS cluster, as a process of its own.
func natsMain() {
	name := flag.String("name", "", "its name")
	data := flag.String("data", "", "its folder")
	routes := flag.String("routes", "", "links to the others")
	flag.Parse()
	o := &server.Options{ServerName: *name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: *data, SyncAlways: true,
		PingInterval: time.Second, MaxPingsOut: 2, DisableJetStreamBanner: true,
		// Nothing is told that leads around the links: neither clients nor servers are to find a way of their own.
		Cluster: server.ClusterOpts{Name: "proof", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoAdvertise: true, Advertise: "127.0.0.1:1", PingInterval: time.Second, MaxPingsOut: 2}}
	for _, r := range strings.Split(*routes, ",") {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("not ready")
	}
	fmt.Fprintf(os.Stderr, "msg=ready client=%s cluster=%s\n", s.Addr(), s.ClusterAddr())
	s.WaitForShutdown()
}

// natsServers is how many servers the cluster has; each keeps a copy of everything.
const natsServers = 3

// natsCluster is a cluster of NATS whose servers and links can be taken away.
type natsCluster struct {
	t       *testing.T
	dir     string
	servers [natsServers]*process           // nil while it is down
	routes  [natsServers][natsServers]*link // by who dials, and whom
	clients [natsServers]map[int]*link      // by server
}

func newNATSCluster(t *testing.T) *natsCluster {
	c := &natsCluster{t: t, dir: t.TempDir()}
	for i := range natsServers {
		c.clients[i] = map[int]*link{}
		for j := range natsServers {
			if i != j {
				c.routes[i][j] = newLink(t)
			}
		}
	}
	for i := range natsServers {
		c.start(i)
	}
	return c
}

// start starts a server on its folder and leads the links to where it listens now.
func (c *natsCluster) start(i int) {
	var routes []string
	for _, l := range c.routes[i] {
		if l != nil {
			routes = append(routes, l.address())
		}
	}
	name := fmt.Sprintf("n%d", i)
	p := started(c.t, name, "nats", "-name", name, "-data", filepath.Join(c.dir, name), "-routes", strings.Join(routes, ","))
	c.servers[i] = p
	for j := range natsServers {
		if j != i {
			c.routes[j][i].lead(p.says("cluster"))
		}
	}
	for _, l := range c.clients[i] {
		l.lead(p.says("client"))
	}
}

// url opens links to all servers for one client, and returns what it connects to.
func (c *natsCluster) url(client int) string {
	var all []string
	for i := range natsServers {
		l := newLink(c.t)
		l.lead(c.servers[i].says("client"))
		c.clients[i][client] = l
		all = append(all, "nats://"+l.address())
	}
	return strings.Join(all, ",")
}

// links are all links of a server.
func (c *natsCluster) links(i int) []*link {
	var all []*link
	for j := range natsServers {
		if j != i {
			all = append(all, c.routes[i][j], c.routes[j][i])
		}
	}
	for _, l := range c.clients[i] {
		all = append(all, l)
	}
	return all
}

// linksOf are all links of a client.
func (c *natsCluster) linksOf(client int) []*link {
	var all []*link
	for i := range natsServers {
		all = append(all, c.clients[i][client])
	}
	return all
}

// leader is the server that leads the bucket of jobs. It asks until there is one.
func (c *natsCluster) leader(ctx context.Context) int {
	for {
		if ctx.Err() != nil {
			c.t.Fatal("the bucket of jobs has no leader")
		}
		for _, p := range c.servers {
			if p == nil {
				continue
			}
			if name := leaderSeenBy("nats://" + p.says("client")); name != "" {
				for j := range c.servers {
					if name == fmt.Sprintf("n%d", j) {
						return j
					}
				}
			}
		}
	}
}

func leaderSeenBy(url string) string {
	conn, err := nats.Connect(url, nats.NoReconnect())
	if err != nil {
		return ""
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		return ""
	}
	s, err := js.Stream(context.Background(), "KV_amlgate_jobs")
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

// keptStreams are all that the service keeps; the queue is there in managed mode only.
var keptStreams = []string{"KV_amlgate_meta", "KV_amlgate_jobs", "KV_amlgate_requests", "AMLGATE_POLLS"}

// whole waits until every stream has its leader and all its copies up to date, so that a fault meets a cluster that has got
// over the one before.
func (c *natsCluster) whole(ctx context.Context) {
	c.ask(ctx, c.other(-1), func(js jetstream.JetStream, name string) bool {
		s, err := js.Stream(context.Background(), name)
		if err != nil {
			return errors.Is(err, jetstream.ErrStreamNotFound)
		}
		info := s.CachedInfo().Cluster
		return info != nil && info.Leader != "" && len(info.Replicas) == natsServers-1 &&
			!slices.ContainsFunc(info.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
	})
}

// chosen waits until every stream and the queue's consumer have a leader that is not the lost server, as the one at url says, and
// returns how long that took. A fault may be over before: what has no watcher is not missed.
func (c *natsCluster) chosen(ctx context.Context, url string, lost int) string {
	began := time.Now()
	c.ask(ctx, url, func(js jetstream.JetStream, name string) bool {
		s, err := js.Stream(context.Background(), name)
		if err != nil {
			return errors.Is(err, jetstream.ErrStreamNotFound)
		}
		if info := s.CachedInfo().Cluster; info == nil || info.Leader == "" || info.Leader == fmt.Sprintf("n%d", lost) {
			return false
		}
		if name != "AMLGATE_POLLS" {
			return true
		}
		_, err = s.Consumer(context.Background(), "pollers")
		return err == nil
	})
	if ctx.Err() != nil {
		return "for some only"
	}
	return fmt.Sprint("after ", round(time.Since(began)))
}

// other is where a server listens that is not the lost one.
func (c *natsCluster) other(lost int) string {
	for i, p := range c.servers {
		if i != lost && p != nil {
			return "nats://" + p.says("client")
		}
	}
	return ""
}

// ask asks a server about each stream until the answer is the one waited for.
func (c *natsCluster) ask(ctx context.Context, url string, settled func(js jetstream.JetStream, stream string) bool) {
	conn, err := nats.Connect(url)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(200*time.Millisecond))
	if err != nil {
		c.t.Error(err)
		return
	}
	for _, name := range keptStreams {
		for ctx.Err() == nil && !settled(js, name) {
			c.pause(ctx)
		}
	}
}

// pause keeps whoever asks from spinning.
func (c *natsCluster) pause(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

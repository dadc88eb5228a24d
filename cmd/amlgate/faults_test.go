package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// fault is something that happens to a cluster, and its repair.
type fault struct {
	what       string
	begin, end func()
	server     int // of NATS, that is lost; -1 where none is
}

func killLeader(c *cluster) fault {
	n := c.nats.leader(c.ctx)
	return fault{"kill of the NATS leader", func() { c.nats.down(n) }, func() { c.nats.start(n) }, n}
}

func killReplica(c *cluster) fault {
	return fault{"kill of a replica", func() { c.replicas[0].stop() }, func() { c.start(0) }, -1}
}

func cutReplica(c *cluster) fault {
	return onLinks("cut of a replica", (*link).sever, c.nats.linksOf(1), -1)
}
func silenceReplica(c *cluster) fault {
	return onLinks("silence of a replica", (*link).hold, c.nats.linksOf(2), -1)
}

func cutLeader(c *cluster) fault {
	n := c.nats.leader(c.ctx)
	return onLinks("cut of the NATS leader", (*link).sever, c.nats.links(n), n)
}

func silenceLeader(c *cluster) fault {
	n := c.nats.leader(c.ctx)
	return onLinks("silence of the NATS leader", (*link).hold, c.nats.links(n), n)
}

func cutRoute(c *cluster) fault {
	n := c.nats.leader(c.ctx)
	other := (n + 1) % natsServers
	return onLinks("cut between the NATS leader and a follower", (*link).sever, []*link{c.nats.routes[n][other], c.nats.routes[other][n]}, -1)
}

func onLinks(what string, harm func(*link), links []*link, server int) fault {
	all := func(do func(*link)) func() {
		return func() {
			for _, l := range links {
				do(l)
			}
		}
	}
	return fault{what, all(harm), all((*link).mend), server}
}

// suffer has a job watched at each replica and brings a fault about. While it lasts, those watches must be told the jobs'
// ends, here or by another replica, and new jobs must get through whichever replica they are brought to first. Then it is
// repaired, and one must get through each replica.
func (c *cluster) suffer(f fault) {
	if c.t.Failed() {
		c.explain()
	}
	watched, watching := c.watched()
	began := time.Now()
	f.begin()
	chosen := make(chan string, 1)
	url := c.nats.other(f.server)
	meanwhile, ended := context.WithCancel(c.ctx)
	defer ended()
	go func() { chosen <- c.nats.chosen(meanwhile, url, f.server) }()
	during := c.probes(c.through)
	watching.Wait()
	lasted := time.Since(began)
	ended()
	f.end()
	mended := time.Now()
	after := c.probes(func(j *job, i int) { c.by(j, i) })
	c.t.Logf("%s: NATS has leaders %s; jobs through after %s; watches told the end after %s; lasted %s; each replica %s after its end",
		f.what, <-chosen, times(during, began), times(watched, began), round(lasted), times(after, mended))
	for _, j := range slices.Concat(watched, during, after) {
		if !j.terminal {
			c.t.Errorf("%s: job %s (%s) does not get through: %+v", f.what, j.id, j.tag, j.changes)
			c.explain()
		}
	}
}

// watched starts a job for each replica and watches it there, and at the others when that one fails. It returns when
// every watch has told something and every start was acknowledged.
func (c *cluster) watched() ([]*job, *sync.WaitGroup) {
	var jobs []*job
	var poised []chan struct{}
	var work sync.WaitGroup
	for i := range c.replicas {
		j := c.newJob()
		j.rest, j.early, j.poised = false, true, make(chan struct{})
		jobs, poised = append(jobs, j), append(poised, j.poised)
		work.Go(func() { c.through(j, i) })
	}
	for i, j := range jobs {
		select {
		case <-poised[i]:
		case <-c.ctx.Done():
			c.t.Errorf("job %s (%s) is not watched: %+v", j.id, j.tag, j.changes)
			c.explain()
		}
	}
	return jobs, &work
}

// probes takes a job through for each replica: submitted, started and watched.
func (c *cluster) probes(through func(j *job, replica int)) []*job {
	var jobs []*job
	var work sync.WaitGroup
	for i := range c.replicas {
		j := c.newJob()
		j.rest, j.request, j.again = false, c.newID(), c.newID()
		jobs = append(jobs, j)
		work.Go(func() { through(j, i) })
	}
	work.Wait()
	return jobs
}

func (c *cluster) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uuid(c.rand)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// times says when each job was submitted, started and over.
func times(jobs []*job, since time.Time) string {
	var all []string
	for _, j := range jobs {
		all = append(all, fmt.Sprintf("%s/%s/%s", round(j.at[0].Sub(since)), round(j.at[1].Sub(since)), round(j.at[2].Sub(since))))
	}
	return strings.Join(all, " ")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// caller is a program that uses amlgate, repeats what failed, and remembers every word that it was told. What must hold
// whoever dies is checked here: as it goes (drive, watch), and afterwards against the list and the upstream (check).
type caller struct {
	t       *testing.T
	front   *front
	key     string
	storage string // connection string of the upstream's blobs
	input   string // container and blob
	told    func(what string)
	sent    func(what string)

	mu   sync.Mutex
	rand *rand.Rand
	jobs []*job
}

// job is what the caller knows of one.
type job struct {
	tag     string // the name of its output, by which it is known before it has an id
	body    []byte
	request string // request id of the submit; empty where none is given
	again   string // request id of the start
	rest    bool   // is never to be started
	early   bool   // is watched from before its start

	mu       sync.Mutex
	tried    bool   // a submit was sent
	id       string // acknowledged
	asked    bool   // a start was sent
	started  bool   // acknowledged
	changes  []told
	cursor   string
	last     v1.JobState
	terminal bool          // the watch has told the end
	at       [3]time.Time  // of the submit's acknowledgement, the start's, and the end's telling
	poised   chan struct{} // closed, and nil, once a start is acknowledged and a watch has told something
}

// settle closes poised when it is time. The job is locked.
func (j *job) settle() {
	if j.poised != nil && j.started && len(j.changes) > 0 {
		close(j.poised)
		j.poised = nil
	}
}

// told is a change that a watcher was told of.
type told struct {
	cursor string
	state  v1.JobState
}

const callWorkspace, callService = "demo", "feature-hashing"

// newCaller uploads what jobs read.
func newCaller(t *testing.T, f *front, key, storage string, r *rand.Rand) *caller {
	t.Helper()
	blobs, err := azblob.NewClientFromConnectionString(storage, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = blobs.CreateContainer(t.Context(), "proof", nil) // it may be there
	if _, err := blobs.UploadBuffer(t.Context(), "proof", "in.csv", []byte("Col2\nThis is a good day\n"), nil); err != nil {
		t.Fatal(err)
	}
	nothing := func(string) {}
	return &caller{t: t, front: f, key: key, storage: storage, input: "proof/in.csv", told: nothing, sent: nothing, rand: r}
}

// uuid makes a request id.
func uuid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

// newJob thinks of a job.
func (c *caller) newJob() *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := &job{tag: fmt.Sprintf("proof/out%d.csv", len(c.jobs)), early: c.rand.IntN(3) == 0, rest: c.rand.IntN(8) == 0}
	if c.rand.IntN(3) > 0 {
		j.request = uuid(c.rand)
	}
	if c.rand.IntN(3) > 0 {
		j.again = uuid(c.rand)
	}
	j.body = fmt.Appendf(nil, `{"Input":{"ConnectionString":%q,"RelativeLocation":%q},"Outputs":{"output1":{"ConnectionString":%q,"RelativeLocation":%q}}}`, c.storage, c.input, c.storage, j.tag)
	c.jobs = append(c.jobs, j)
	return j
}

// open returns the jobs that there is something left to do for.
func (c *caller) open() []*job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.jobs), (*job).over)
}

// all returns every job.
func (c *caller) all() []*job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.jobs)
}

// over reports whether nothing is left to do: a submit without a request id whose fate is not known is not repeated.
func (j *job) over() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.id == "" && j.tried && j.request == "" || j.id != "" && j.rest || j.terminal
}

func (c *caller) with(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.key)
}

// drive takes a job as far as it goes with one service. It returns the error of the first call that fails; that the
// service must not have failed is for whoever knows that it lived.
func (c *caller) drive(ctx context.Context, client v1.JobServiceClient, j *job) error {
	if j.over() {
		return nil
	}
	if err := c.submit(ctx, client, j); err != nil || j.rest {
		return err
	}
	watched := make(chan error, 1)
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	if j.early {
		go func() { watched <- c.watch(watching, client, j) }()
	}
	if err := c.start(ctx, client, j); err != nil {
		if j.early {
			endWatch()
			<-watched // of a job that could not be started
		}
		return err
	}
	if !j.early {
		return c.watch(ctx, client, j)
	}
	return <-watched
}

// submit submits a job, again if need be.
func (c *caller) submit(ctx context.Context, client v1.JobServiceClient, j *job) error {
	j.mu.Lock()
	known := j.id
	j.tried = true
	j.mu.Unlock()
	if known != "" {
		return nil
	}
	c.sent(opSubmit)
	id, err := c.submitted(ctx, client, j)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	j.mu.Lock()
	j.id, j.at[0] = id, time.Now()
	j.mu.Unlock()
	c.told(opSubmit)
	return nil
}

func (c *caller) submitted(ctx context.Context, client v1.JobServiceClient, j *job) (string, error) {
	resp, err := client.SubmitJob(c.with(ctx), &v1.SubmitJobRequest{Workspace: callWorkspace, Service: callService, RequestId: j.request, Payload: &v1.SubmitJobRequest_Json{Json: j.body}})
	return resp.GetJobId(), err
}

// start starts a job, again if need be. Without a request id a start that was tried before may be refused because it
// happened; with one it must be answered as the first time.
func (c *caller) start(ctx context.Context, client v1.JobServiceClient, j *job) error {
	j.mu.Lock()
	tried, done := j.asked, j.started
	j.asked = true
	j.mu.Unlock()
	if done {
		return nil
	}
	c.sent(opStart)
	_, err := client.StartJob(c.with(ctx), &v1.StartJobRequest{Workspace: callWorkspace, Service: callService, JobId: j.id, RequestId: j.again})
	if status.Code(err) == codes.FailedPrecondition {
		if !tried || j.again != "" {
			c.t.Errorf("job %s, request id %q, tried before %t: %v", j.id, j.again, tried, err)
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	j.mu.Lock()
	j.started, j.at[1] = true, time.Now()
	j.settle()
	j.mu.Unlock()
	c.told(opStart)
	return nil
}

const opWatch = "watch"

// watch watches a job to its end, from where the last watch came to.
func (c *caller) watch(ctx context.Context, client v1.JobServiceClient, j *job) error {
	j.mu.Lock()
	cursor := j.cursor
	j.mu.Unlock()
	c.sent(opWatch)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.WatchJob(c.with(own), &v1.WatchJobRequest{Workspace: callWorkspace, Service: callService, JobId: j.id, Cursor: cursor})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if !c.event(j, e) {
			return nil
		}
	}
}

// event takes in what a watch tells, and reports whether it goes on. A job of the emulator moves from not started to running to an
// end, so each change must be of a higher state than the one before, told once, with none skipped.
func (c *caller) event(j *job, e *v1.WatchJobResponse) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.GetSkipped() {
		c.t.Errorf("job %s: a gap behind %q: %v", j.id, j.cursor, e)
	}
	before := j.cursor
	j.cursor = e.GetCursor()
	switch event := e.GetEvent().(type) {
	case *v1.WatchJobResponse_Job:
		state := event.Job.GetState()
		if before == e.GetCursor() || state <= j.last || ended(j.last) || event.Job.GetJobId() != j.id {
			c.t.Errorf("job %s: told %v (%s) behind %v (%s)", j.id, state, e.GetCursor(), j.changes, before)
		}
		j.changes, j.last = append(j.changes, told{e.GetCursor(), state}), state
		j.settle()
		c.told("event")
	case *v1.WatchJobResponse_Heartbeat:
		if before != "" && e.GetCursor() != before {
			c.t.Errorf("job %s: a heartbeat's cursor is %s, the change's before it %s", j.id, e.GetCursor(), before)
		}
	case *v1.WatchJobResponse_End:
		switch event.End.GetReason() {
		case v1.WatchEnd_REASON_TERMINAL:
			if !ended(j.last) {
				c.t.Errorf("job %s: the watch ended as for a job that has, and told no more than %v", j.id, j.changes)
			}
			j.terminal, j.at[2] = true, time.Now()
			c.told("end")
		case v1.WatchEnd_REASON_DRAINING, v1.WatchEnd_REASON_DEADLINE:
		default:
			c.t.Errorf("job %s: the watch ended: %v", j.id, event.End)
			j.terminal = true // no use
		}
		return false
	}
	return true
}

func ended(s v1.JobState) bool { return s > v1.JobState_JOB_STATE_RUNNING }

// list lists all jobs of the caller.
func (c *caller) list(ctx context.Context, client v1.JobServiceClient) (map[string]*v1.Job, error) {
	listed := map[string]*v1.Job{}
	for token := ""; ; {
		page, err := client.ListJobs(c.with(ctx), &v1.ListJobsRequest{Workspace: callWorkspace, Service: "-", PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, job := range page.GetJobs() {
			if listed[job.GetJobId()] != nil {
				c.t.Errorf("job %s is listed twice", job.GetJobId())
			}
			listed[job.GetJobId()] = job
		}
		if token = page.GetNextPageToken(); token == "" {
			return listed, nil
		}
	}
}

// check holds what the caller was told against the list and the upstream.
func (c *caller) check(ctx context.Context, client v1.JobServiceClient) error {
	listed, err := c.list(ctx, client)
	if err != nil {
		return err
	}
	jobs := c.all()
	c.front.mu.Lock()
	defer c.front.mu.Unlock()
	for id := range listed {
		if c.front.tags[id] == "" {
			c.t.Errorf("job %s is listed and was never made", id)
		}
	}
	for _, j := range jobs {
		c.checkJob(j, listed)
	}
	return nil
}

// checkJob checks one job; the front is locked.
func (c *caller) checkJob(j *job, listed map[string]*v1.Job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.id != "" {
		switch job := listed[j.id]; {
		case job == nil:
			c.t.Errorf("job %s was acknowledged and is not listed", j.id)
		case j.terminal && job.GetState() != j.last:
			c.t.Errorf("job %s is listed as %v, and its watch told %v", j.id, job.GetState(), j.last)
		}
		if c.front.tags[j.id] != j.tag {
			c.t.Errorf("job %s was acknowledged for %s, and made for %q", j.id, j.tag, c.front.tags[j.id])
		}
	}
	for _, id := range c.front.submits[j.tag] {
		s := c.front.starts[id]
		switch {
		case s == nil:
			if j.started && id == j.id {
				c.t.Errorf("job %s: its start was acknowledged and never came to the upstream", id)
			}
		case s.accepted > 1 || s.blind > 0:
			c.t.Errorf("job %s: %d starts came to the upstream, which took %d; %d were sent blindly", id, s.came, s.accepted, s.blind)
		case s.accepted == 0 && j.started && id == j.id:
			c.t.Errorf("job %s: its start was acknowledged, and the upstream took none of %d", id, s.came)
		case !j.asked || j.rest || id != j.id && s.came > 0:
			c.t.Errorf("job %s (%s, acknowledged as %q): a start was sent that nobody asked for", id, j.tag, j.id)
		}
	}
}

// repeat sends a submit and a start again that were acknowledged: the answers must be the first ones, and the upstream must
// not hear of it.
func (c *caller) repeat(ctx context.Context, client v1.JobServiceClient, j *job) error {
	j.mu.Lock()
	id, request, again, started := j.id, j.request, j.again, j.started
	j.mu.Unlock()
	if id == "" {
		return nil
	}
	before := c.counts(j.tag, id)
	if request != "" {
		got, err := c.submitted(ctx, client, j)
		if err != nil {
			return fmt.Errorf("repeated submit: %w", err)
		}
		if got != id {
			c.t.Errorf("request id %s was answered %s first, and %s when it was repeated", request, id, got)
		}
	}
	if again != "" && started {
		if _, err := client.StartJob(c.with(ctx), &v1.StartJobRequest{Workspace: callWorkspace, Service: callService, JobId: id, RequestId: again}); err != nil {
			if status.Code(err) == codes.FailedPrecondition {
				c.t.Errorf("job %s: request id %s was answered well first, and when repeated: %v", id, again, err)
			}
			return fmt.Errorf("repeated start: %w", err)
		}
	}
	if after := c.counts(j.tag, id); after != before {
		c.t.Errorf("job %s: repeated calls went upstream: submits and starts were %v and are %v", id, before, after)
	}
	return nil
}

func (c *caller) counts(tag, id string) [2]int {
	c.front.mu.Lock()
	defer c.front.mu.Unlock()
	n := [2]int{len(c.front.submits[tag])}
	if s := c.front.starts[id]; s != nil {
		n[1] = s.came
	}
	return n
}

// replay watches a job again that has ended, from behind the first change that was told: what is kept must be what was told,
// neither more nor less. The upstream must agree about the end.
func (c *caller) replay(ctx context.Context, client v1.JobServiceClient, j *job) error {
	if !j.terminal || len(j.changes) == 0 {
		return nil
	}
	again := &job{id: j.id, cursor: j.changes[0].cursor, last: j.changes[0].state, changes: j.changes[:1:1]}
	if err := c.watch(ctx, client, again); err != nil {
		return err
	}
	if !slices.Equal(again.changes, j.changes) {
		c.t.Errorf("job %s: its watcher was told %v; what is kept is %v", j.id, j.changes, again.changes)
	}
	want := map[string]v1.JobState{"Finished": v1.JobState_JOB_STATE_FINISHED, "Failed": v1.JobState_JOB_STATE_FAILED}
	if state := c.front.state(j.id); want[state] != j.last {
		c.t.Errorf("job %s: the watcher was told %v, and the upstream says %s", j.id, j.last, state)
	}
	return nil
}

// summary counts for the summary line.
func (c *caller) summary() string {
	var acknowledged, startedJobs, finished, events, orphans int
	for _, j := range c.all() {
		j.mu.Lock()
		if j.id != "" {
			acknowledged++
		}
		if j.started {
			startedJobs++
		}
		if j.terminal {
			finished++
		}
		events += len(j.changes)
		j.mu.Unlock()
	}
	c.front.mu.Lock()
	defer c.front.mu.Unlock()
	var accepted, came int
	for _, s := range c.front.starts {
		accepted, came = accepted+s.accepted, came+s.came
	}
	orphans = len(c.front.tags) - acknowledged
	return fmt.Sprintf("%d jobs acknowledged, %d made upstream without anybody knowing; %d starts acknowledged, %d sent, %d taken; %d watched to their end, %d changes told, %d polls",
		acknowledged, orphans, startedJobs, came, accepted, finished, events, c.front.asks)
}

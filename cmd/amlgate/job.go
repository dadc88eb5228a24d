package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// jobCmd is "amlgate job".
type jobCmd struct {
	Submit jobSubmitCmd `cmd:"" help:"Create a job and print its id; nothing runs yet."`
	Start  jobStartCmd  `cmd:"" help:"Start a job."`
	Get    jobGetCmd    `cmd:"" help:"Print a job."`
	List   jobListCmd   `cmd:"" help:"List the jobs submitted with this key, newest first."`
	Watch  jobWatchCmd  `cmd:"" help:"Print a job's changes until it ends."`
	Delete jobDeleteCmd `cmd:"" help:"Cancel a job that runs, remove one that does not."`
	Run    jobRunCmd    `cmd:"" help:"Upload a CSV, run a job on it, wait, download the result."`
}

// jobTarget says which service's jobs.
type jobTarget struct {
	target
	Workspace string `required:"" help:"AzureML workspace id."`
	Service   string `required:"" help:"AzureML service (endpoint) id."`
}

// namedJob is one job of it.
type namedJob struct {
	jobTarget
	Job string `arg:"" help:"The job's id."`
}

// call runs do with a connection and the caller's key.
func (t *target) call(ctx context.Context, do func(context.Context, v1.JobServiceClient) error) error {
	key, err := t.key()
	if err != nil {
		return err
	}
	conn, err := t.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	return plainly(do(ctx, v1.NewJobServiceClient(conn)))
}

// plainly rewrites a gRPC status for a terminal.
func plainly(err error) error {
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok {
		return fmt.Errorf("%s: %s", st.Code(), st.Message())
	}
	return err
}

type jobSubmitCmd struct {
	jobTarget
	Input string `required:"" placeholder:"FILE" help:"AzureML's JSON for a job. - is standard input."`
}

// Run creates the job.
func (c *jobSubmitCmd) Run(ctx context.Context, std *streams) error {
	body, err := readInput(c.Input, std.in)
	if err != nil {
		return err
	}
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		resp, err := jobs.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: c.Workspace, Service: c.Service, Payload: &v1.SubmitJobRequest_Json{Json: body}})
		if err == nil {
			_, err = fmt.Fprintln(std.out, resp.GetJobId())
		}
		return err
	})
}

type jobStartCmd struct{ namedJob }

// Run starts the job.
func (c *jobStartCmd) Run(ctx context.Context) error {
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		_, err := jobs.StartJob(ctx, &v1.StartJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: c.Job})
		return err
	})
}

type jobGetCmd struct{ namedJob }

// Run prints the job as JSON, fresh SAS tokens included.
func (c *jobGetCmd) Run(ctx context.Context, std *streams) error {
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		resp, err := jobs.GetJob(ctx, &v1.GetJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: c.Job})
		if err == nil {
			_, err = fmt.Fprintln(std.out, protojson.MarshalOptions{Multiline: true}.Format(resp.GetJob()))
		}
		return err
	})
}

type jobDeleteCmd struct{ namedJob }

// Run cancels or removes the job.
func (c *jobDeleteCmd) Run(ctx context.Context) error {
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		_, err := jobs.DeleteJob(ctx, &v1.DeleteJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: c.Job})
		return err
	})
}

type jobListCmd struct {
	target
	Workspace string   `required:"" help:"AzureML workspace id."`
	Service   string   `default:"-" help:"AzureML service id; - for all."`
	State     []string `enum:"not_started,running,failed,cancelled,finished" help:"Only jobs in these states: not_started, running, failed, cancelled, finished."`
	Limit     int      `default:"100" help:"Most jobs printed."`
}

// Run prints the list, page by page.
func (c *jobListCmd) Run(ctx context.Context, std *streams) error {
	req := &v1.ListJobsRequest{Workspace: c.Workspace, Service: c.Service}
	for _, s := range c.State {
		req.States = append(req.States, v1.JobState(v1.JobState_value["JOB_STATE_"+strings.ToUpper(s)]))
	}
	out := tabwriter.NewWriter(std.out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "JOB\tSERVICE\tSTATE\tSUBMITTED")
	err := c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		for left := c.Limit; left > 0; {
			req.PageSize = int32(min(left, 1000))
			page, err := jobs.ListJobs(ctx, req)
			if err != nil {
				return err
			}
			for _, j := range page.GetJobs() {
				_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", j.GetJobId(), j.GetService(), stateWord(j.GetState()), j.GetCreateTime().AsTime().Format(time.RFC3339))
			}
			left -= len(page.GetJobs())
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return nil
			}
		}
		return nil
	})
	return errors.Join(err, out.Flush())
}

type jobWatchCmd struct {
	namedJob
	Cursor string `help:"Go on behind the event with this cursor."`
}

// Run prints each event as a line of JSON.
func (c *jobWatchCmd) Run(ctx context.Context, std *streams) error {
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		req := &v1.WatchJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: c.Job, Cursor: c.Cursor}
		var printed error
		_, err := follow(ctx, jobs, req, func(e *v1.WatchJobResponse) {
			if _, err := fmt.Fprintln(std.out, protojson.MarshalOptions{}.Format(e)); err != nil {
				printed = err
			}
		})
		return errors.Join(err, printed)
	})
}

// stateWord is a state as people read it.
func stateWord(s v1.JobState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "JOB_STATE_"))
}

// patience is how long a watch is tried again without any event before it is given up.
const patience = 2 * time.Minute

// follow watches a job to its end, coming back with the cursor whenever the stream ends before, and returns the job's
// last state. Each event but heartbeats goes to tell.
func follow(ctx context.Context, jobs v1.JobServiceClient, req *v1.WatchJobRequest, tell func(*v1.WatchJobResponse)) (*v1.Job, error) {
	var last *v1.Job
	wait, alive := time.Second, time.Now()
	for {
		ended, err := followOnce(ctx, jobs, req, func(e *v1.WatchJobResponse) {
			wait, alive = time.Second, time.Now()
			if e.GetJob() != nil {
				last = e.GetJob()
			}
			if e.GetHeartbeat() == nil {
				tell(e)
			}
		})
		switch {
		case ended || ctx.Err() != nil:
			return last, err
		case err != nil && (!passing(err) || time.Since(alive) > patience):
			return last, err
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, 15*time.Second)
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// followOnce reads one stream; ended is set if there is no more to come.
func followOnce(ctx context.Context, jobs v1.JobServiceClient, req *v1.WatchJobRequest, tell func(*v1.WatchJobResponse)) (ended bool, err error) {
	stream, err := jobs.WatchJob(ctx, req, grpc.WaitForReady(false))
	if err != nil {
		return false, err
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		req.Cursor = e.GetCursor()
		tell(e)
		switch e.GetEnd().GetReason() {
		case v1.WatchEnd_REASON_TERMINAL:
			return true, nil
		case v1.WatchEnd_REASON_JOB_GONE:
			return true, errors.New("the job was removed")
		}
	}
}

// passing reports whether an error may be gone in a moment: a service that is away or stops.
func passing(err error) bool {
	name := status.Code(err).String()
	return name == "Unavailable" || name == "DeadlineExceeded" || name == "ResourceExhausted"
}

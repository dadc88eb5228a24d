package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/jobs"
	"github.com/amlgate/amlgate/server/redact"
)

// Jobs implements amlgate.v1.JobService on one upstream and one hub.
type Jobs struct {
	v1.UnsafeJobServiceServer
	upstream *azureml.Client
	hub      *jobs.Hub
	limits   Limits
}

// NewJobs returns the service.
func NewJobs(upstream *azureml.Client, hub *jobs.Hub, limits Limits) *Jobs {
	return &Jobs{upstream: upstream, hub: hub, limits: limits}
}

// SubmitJob creates a job and keeps it for the list.
func (s *Jobs) SubmitJob(ctx context.Context, req *v1.SubmitJobRequest) (*v1.SubmitJobResponse, error) {
	if f := checkService(req.GetWorkspace(), req.GetService(), req.GetApiVersion()); f != nil {
		return nil, f
	}
	request, f := requestOf(ctx, req.GetRequestId())
	if f != nil {
		return nil, f
	}
	body, f := s.submitBody(req)
	if f != nil {
		return nil, f
	}
	if err := s.hub.Room(); err != nil {
		return nil, FailureOf(err) // before anything is made upstream
	}
	service := jobs.Key{Workspace: req.GetWorkspace(), Service: req.GetService()}
	if request.ID == "" {
		id, err := s.submit(ctx, service, body, "")
		if err != nil {
			return nil, FailureOf(err)
		}
		return &v1.SubmitJobResponse{JobId: id}, nil
	}
	// A copy: the body may be sent again, where the call's own is lent and gone with the first time.
	request.Owner, request.Body = s.hub.Owner(CallFrom(ctx).Header), bytes.Clone(body)
	id, err := s.submitOnce(ctx, service, request)
	if err != nil {
		return nil, onceFailure(err)
	}
	return &v1.SubmitJobResponse{JobId: id}, nil
}

// submit creates a job upstream and keeps it, under a request id's key where there is one, before anybody is told its id.
func (s *Jobs) submit(ctx context.Context, service jobs.Key, body []byte, request string) (string, error) {
	call := CallFrom(ctx)
	var id string
	answer, err := timed(call, func() (answer *azureml.Answer, err error) {
		r := upstreamRequest(service, call.Header)
		r.Body, r.Lease = body, call.takeRequest()
		id, answer, err = s.upstream.SubmitJob(ctx, r)
		return answer, err
	})
	if err != nil {
		return "", err
	}
	// The answer's head may announce a coding or a length that are not those of what is answered here.
	delete(answer.Header, "Content-Encoding")
	if !ValidID(id) {
		return "", Refuse(UpstreamForeign, "", "the upstream's id for the new job cannot stand in a URL; the job exists")
	}
	service.ID = id
	return id, s.hub.Keep(context.WithoutCancel(ctx), service, s.hub.Owner(call.Header), request) // it is there, whoever is still waiting
}

// submitBody returns AzureML's JSON for a new job.
func (s *Jobs) submitBody(req *v1.SubmitJobRequest) ([]byte, *Failure) {
	switch payload := req.GetPayload().(type) {
	case *v1.SubmitJobRequest_Json:
		if len(payload.Json) > s.limits.Request {
			return nil, TooLarge("json", s.limits.Request)
		}
		return payload.Json, nil
	case *v1.SubmitJobRequest_Batch:
		batch := payload.Batch
		for _, blobs := range []struct {
			field string
			m     map[string]*v1.BlobReference
		}{{"inputs", batch.GetInputs()}, {"outputs", batch.GetOutputs()}} {
			for name, b := range blobs.m {
				if b.GetRelativeLocation() == "" {
					return nil, Refuse(InvalidField, fmt.Sprintf("batch.%s[%q].relative_location", blobs.field, name), "container and blob are required, for example \"container/data.csv\"")
				}
				if b.GetConnectionString() == "" && b.GetBaseLocation() == "" {
					return nil, Refuse(InvalidField, fmt.Sprintf("batch.%s[%q]", blobs.field, name), "one of connection_string and base_location (with sas_blob_token) is required")
				}
			}
		}
		body, err := azureml.AppendJob(nil, azureml.NewJob{
			Inputs: locations(batch.GetInputs()), Outputs: locations(batch.GetOutputs()), Parameters: parameters(batch.GetGlobalParameters()),
		}, s.limits.Request)
		var field *azureml.InputError
		switch {
		case errors.As(err, &field):
			return nil, Refuse(InvalidField, "batch."+field.Field, "%s", field.Reason)
		case err != nil:
			return nil, TooLarge("batch", s.limits.Request)
		}
		return body, nil
	}
	return nil, Refuse(InvalidField, "payload", "one of json and batch is required")
}

func locations(m map[string]*v1.BlobReference) map[string]azureml.Location {
	out := make(map[string]azureml.Location, len(m))
	for name, b := range m {
		out[name] = azureml.Location{
			ConnectionString: b.GetConnectionString(), RelativeLocation: b.GetRelativeLocation(),
			BaseLocation: b.GetBaseLocation(), SASToken: b.GetSasBlobToken(),
		}
	}
	return out
}

// StartJob starts a submitted job, unless it was started before.
func (s *Jobs) StartJob(ctx context.Context, req *v1.StartJobRequest) (*v1.StartJobResponse, error) {
	request, f := requestOf(ctx, req.GetRequestId())
	if f != nil {
		return nil, f
	}
	key, f := jobKey(req)
	if f != nil {
		return nil, f
	}
	call := CallFrom(ctx)
	var err error
	if request.ID == "" {
		err = s.start(ctx, key, "")
	} else {
		request.Owner, request.Body = s.hub.Owner(call.Header), []byte(key.ID)
		err = s.startOnce(ctx, key, request)
	}
	if err != nil {
		return nil, s.startFailure(ctx, key, err)
	}
	call.Body = []byte{}
	s.hub.Moved(key)
	return &v1.StartJobResponse{}, nil
}

// GetJob reads a job's state. Over REST the upstream's answer is passed on as it came.
func (s *Jobs) GetJob(ctx context.Context, req *v1.GetJobRequest) (*v1.GetJobResponse, error) {
	key, f := jobKey(req)
	if f != nil {
		return nil, f
	}
	call := CallFrom(ctx)
	var status azureml.JobStatus
	asked := time.Now()
	answer, err := timed(call, func() (answer *azureml.Answer, err error) {
		status, answer, err = s.upstream.Job(ctx, upstreamRequest(key, call.Header), key.ID)
		return answer, err
	})
	if err != nil {
		return nil, s.failed(ctx, key, err)
	}
	job := observed(key, status, asked)
	if call.Body = answer.Body; job.Details != status.Details {
		// A module's complaint may quote what it was given; nothing else in the answer is touched.
		plain, err := answer.Plain(int64(s.limits.Answer))
		if err != nil {
			return nil, FailureOf(err)
		}
		delete(answer.Header, "Content-Encoding")
		call.Body = azureml.WithDetails(plain, job.Details)
	}
	s.hub.Proven(key, call.Header)
	s.hub.Observed(ctx, job)
	msg := jobMessage(job)
	for name, l := range status.Results {
		msg.Results[name].SasBlobToken = l.SASToken
	}
	return &v1.GetJobResponse{Job: msg}, nil
}

// DeleteJob cancels or removes a job.
func (s *Jobs) DeleteJob(ctx context.Context, req *v1.DeleteJobRequest) (*v1.DeleteJobResponse, error) {
	key, f := jobKey(req)
	if f != nil {
		return nil, f
	}
	call := CallFrom(ctx)
	ended := s.hub.State(key).Ended()
	if _, err := timed(call, func() (*azureml.Answer, error) {
		return s.upstream.DeleteJob(ctx, upstreamRequest(key, call.Header), key.ID)
	}); err != nil {
		return nil, s.failed(ctx, key, err)
	}
	call.NoContent = true
	if ended {
		s.hub.Gone(ctx, key, s.hub.Owner(call.Header))
	} else {
		s.hub.Deleted(key, credential(call.Header))
	}
	return &v1.DeleteJobResponse{}, nil
}

// failed returns a job call's error, and forgets a job that the upstream does not know.
func (s *Jobs) failed(ctx context.Context, key jobs.Key, err error) error {
	if errors.Is(err, jobs.ErrGone) || isGone(err) {
		s.hub.Gone(ctx, key, s.hub.Owner(CallFrom(ctx).Header))
	}
	return FailureOf(err)
}

// isGone reports whether the upstream said that it knows no such job. Unknown workspaces and services are 404 too, but
// say nothing of the job.
func isGone(err error) bool {
	var up *azureml.Error
	if !errors.As(err, &up) || up.Kind != azureml.Answered || up.Status != http.StatusNotFound {
		return false
	}
	d := up.Envelope.Error.Details
	return len(d) > 0 && d[0].Code != "WorkspaceNotFound" && d[0].Code != "WebServiceNotFound" && d[0].Code != "WebServiceIdNotFoundInWorkspace"
}

// ListJobs lists what was submitted with the same credential.
func (s *Jobs) ListJobs(ctx context.Context, req *v1.ListJobsRequest) (*v1.ListJobsResponse, error) {
	service := req.GetService()
	if service == "-" {
		service = "any"
	}
	if f := checkService(req.GetWorkspace(), service, req.GetApiVersion()); f != nil {
		return nil, f
	}
	size := int(req.GetPageSize())
	switch {
	case size == 0:
		size = 100
	case size < 0 || size > 1000:
		return nil, Refuse(InvalidField, "page_size", "%d; allowed are 1 to 1000, and 0 for 100", size)
	}
	header := CallFrom(ctx).Header
	if header.Get("Authorization") == "" && !s.hub.Managed() {
		return nil, Refuse(NoCredential, "", "the list is that of a credential, and none was given")
	}
	filter := jobs.Filter{Owner: s.hub.Owner(header), Workspace: req.GetWorkspace(), Service: req.GetService()}
	for i, state := range req.GetStates() {
		if state < v1.JobState_JOB_STATE_NOT_STARTED || state > v1.JobState_JOB_STATE_FINISHED {
			return nil, Refuse(InvalidField, fmt.Sprintf("states[%d]", i), "%d is no state of a job", state)
		}
		filter.States = append(filter.States, jobs.State(state))
	}
	page, next, err := s.hub.List(ctx, filter, size, req.GetPageToken())
	switch {
	case errors.Is(err, jobs.ErrPageToken):
		return nil, Refuse(InvalidField, "page_token", "%s", err)
	case err != nil:
		return nil, watchFailure(err)
	}
	resp := &v1.ListJobsResponse{NextPageToken: next}
	for _, job := range page {
		resp.Jobs = append(resp.Jobs, jobMessage(job))
	}
	return resp, nil
}

// AskUpstream returns how a hub reads jobs from an upstream.
func AskUpstream(upstream *azureml.Client) jobs.Ask {
	return func(ctx context.Context, key jobs.Key, header http.Header) (jobs.Job, error) {
		asked := time.Now()
		status, answer, err := upstream.Job(ctx, upstreamRequest(key, header), key.ID)
		if err != nil {
			return jobs.Job{}, &askError{err}
		}
		answer.Release()
		return observed(key, status, asked), nil
	}
}

// askError is an upstream's error in the hub's terms.
type askError struct{ error }

func (e *askError) Unwrap() error { return e.error }

// Is makes denials and removals known to the hub.
func (e *askError) Is(target error) bool {
	switch target {
	case jobs.ErrDenied:
		var up *azureml.Error
		return errors.As(e.error, &up) && up.Kind == azureml.Answered && (up.Status == http.StatusUnauthorized || up.Status == http.StatusForbidden)
	case jobs.ErrGone:
		return isGone(e.error)
	case jobs.ErrRefused:
		return isRefused(e.error)
	case jobs.ErrStarted:
		var up *azureml.Error
		return errors.As(e.error, &up) && up.Kind == azureml.Answered && len(up.Envelope.Error.Details) > 0 && up.Envelope.Error.Details[0].Code == "CannotStartJob"
	}
	return false
}

// After is when the upstream wants to be asked again.
func (e *askError) After() time.Duration {
	var up *azureml.Error
	if errors.As(e.error, &up) {
		return up.RetryAfter
	}
	return 0
}

// namesJob is any request that names a job.
type namesJob interface {
	GetWorkspace() string
	GetService() string
	GetApiVersion() string
	GetJobId() string
}

// jobKey checks what names a job.
func jobKey(req namesJob) (jobs.Key, *Failure) {
	if f := checkService(req.GetWorkspace(), req.GetService(), req.GetApiVersion()); f != nil {
		return jobs.Key{}, f
	}
	if !ValidID(req.GetJobId()) {
		return jobs.Key{}, Refuse(InvalidField, "job_id", wantID)
	}
	return jobs.Key{Workspace: req.GetWorkspace(), Service: req.GetService(), ID: req.GetJobId()}, nil
}

func upstreamRequest(key jobs.Key, header http.Header) *azureml.Request {
	return &azureml.Request{Workspace: key.Workspace, Service: key.Service, Header: header}
}

// observed is a status as the hub keeps it: without what opens a blob, and with its details cleared of secrets.
func observed(key jobs.Key, s azureml.JobStatus, asked time.Time) jobs.Job {
	job := jobs.Job{
		Key: key, State: jobs.State(s.State), Word: s.Word, Details: redact.String(s.Details),
		Created: s.Created, Started: s.Started, Ended: s.Ended, Asked: asked, Observed: time.Now(),
	}
	for _, name := range slices.Sorted(maps.Keys(s.Results)) {
		l := s.Results[name]
		job.Results = append(job.Results, jobs.Result{Name: name, BaseLocation: redact.String(l.BaseLocation), RelativeLocation: redact.String(l.RelativeLocation)})
	}
	return job
}

// jobMessage returns a job as the contract has it.
func jobMessage(j jobs.Job) *v1.Job {
	msg := &v1.Job{
		JobId: j.ID, Workspace: j.Workspace, Service: j.Service, State: v1.JobState(j.State), UpstreamState: j.Word, Details: j.Details,
		CreateTime: timestamp(j.Created), StartTime: timestamp(j.Started), EndTime: timestamp(j.Ended), ObserveTime: timestamp(j.Observed),
		Results: make(map[string]*v1.BlobReference, len(j.Results)),
	}
	for _, r := range j.Results {
		msg.Results[r.Name] = &v1.BlobReference{BaseLocation: r.BaseLocation, RelativeLocation: r.RelativeLocation}
	}
	return msg
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

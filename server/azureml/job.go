package azureml

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Location is a blob in Azure Storage: by connection string and path, or by three parts that make a URL when they are
// put together. ConnectionString and SASToken are secrets.
type Location struct {
	ConnectionString string `json:"ConnectionString,omitempty"`
	RelativeLocation string `json:"RelativeLocation,omitempty"`
	BaseLocation     string `json:"BaseLocation,omitempty"`
	SASToken         string `json:"SasBlobToken,omitempty"`
}

// JobState is where a batch job stands.
type JobState int

// The states, in the order of the numbers that the first classic services answered, from 0; here 0 is none.
const (
	NotStarted JobState = iota + 1
	Running
	Failed
	Cancelled
	Finished
)

// Ended reports whether a job in this state stays in it.
func (s JobState) Ended() bool { return s >= Failed }

// JobStatus is what an upstream tells of a job.
type JobStatus struct {
	State JobState

	// Word is the upstream's own for the state.
	Word string

	// Results are the outputs by name, nil until the job has finished. Their SAS tokens open the blobs for a day.
	Results map[string]Location

	// Details says why a job failed.
	Details string

	// Created, Started and Ended are zero where the upstream does not tell, or the time has not come.
	Created, Started, Ended time.Time
}

// NewJob is a request to create a job.
type NewJob struct {
	Inputs, Outputs map[string]Location
	Parameters      map[string]any
}

// AppendJob appends the body of a job to dst, in the form with named inputs. Members without a value are left out.
// Errors are *InputError or *SizeError.
func AppendJob(dst []byte, job NewJob, limit int) ([]byte, error) {
	e := encoder{buf: dst, start: len(dst), limit: limit}
	for _, part := range []struct {
		member string
		blobs  map[string]Location
	}{{`{"Inputs":`, job.Inputs}, {`,"Outputs":`, job.Outputs}} {
		e.text(part.member)
		blobs, err := json.Marshal(part.blobs) // by name, sorted
		if err != nil {
			return dst, err
		}
		if part.blobs == nil {
			blobs = []byte("{}")
		}
		e.buf = append(e.buf, blobs...)
	}
	e.text(`,"GlobalParameters":`)
	if err := e.object("global_parameters", job.Parameters, 0); err != nil {
		return dst, err
	}
	e.text("}")
	return e.buf, e.checkSize()
}

const version = "api-version=2.0"

// SubmitJob creates a job from r.Body; nothing runs yet. It returns the job's id and the answer as it came.
func (c *Client) SubmitJob(ctx context.Context, r *Request) (id string, answer *Answer, err error) {
	header := upstreamHeader(r.Header)
	if len(header["Content-Type"]) == 0 {
		header["Content-Type"] = []string{"application/json"}
	}
	if answer, err = c.send(ctx, exchange{method: http.MethodPost, path: r.path("/jobs"), query: version, header: header, body: r.Body, lease: r.Lease}); err != nil {
		return "", nil, err
	}
	plain, err := answer.Plain(maxErrorAnswer)
	if err != nil {
		answer.Release()
		return "", nil, err
	}
	if json.Unmarshal(bytes.TrimPrefix(plain, utf8BOM), &id) != nil || id == "" {
		answer.Release()
		return "", nil, &Error{Kind: Foreign, Status: answer.Status, Header: answer.Header, Reason: "the upstream's answer to a new job is no job id; the job may exist"}
	}
	return id, answer, nil
}

// StartJob starts a job.
func (c *Client) StartJob(ctx context.Context, r *Request, id string) (*Answer, error) {
	header := upstreamHeader(r.Header)
	delete(header, "Content-Type")
	delete(header, "Content-Encoding")
	return c.send(ctx, exchange{method: http.MethodPost, path: r.path("/jobs/" + id + "/start"), query: version, header: header})
}

// DeleteJob cancels a job that runs and removes one that does not.
func (c *Client) DeleteJob(ctx context.Context, r *Request, id string) (*Answer, error) {
	header := upstreamHeader(r.Header)
	delete(header, "Content-Type")
	delete(header, "Content-Encoding")
	return c.send(ctx, exchange{method: http.MethodDelete, path: r.path("/jobs/" + id), query: version, header: header})
}

// Job reads a job's status; the answer is as it came.
func (c *Client) Job(ctx context.Context, r *Request, id string) (JobStatus, *Answer, error) {
	header := upstreamHeader(r.Header)
	delete(header, "Content-Type")
	delete(header, "Content-Encoding")
	answer, err := c.do(ctx, exchange{method: http.MethodGet, path: r.path("/jobs/" + id), query: version, header: header})
	if err != nil {
		return JobStatus{}, nil, err
	}
	plain, err := answer.Plain(c.maxAnswer)
	if err != nil {
		answer.Release()
		return JobStatus{}, nil, err
	}
	status, reason := parseJobStatus(plain, id)
	if reason != "" {
		answer.Release()
		return JobStatus{}, nil, &Error{Kind: Foreign, Status: answer.Status, Header: answer.Header, Reason: reason}
	}
	return status, answer, nil
}

// parseJobStatus reads a status answer; it returns why it is none, or nothing.
func parseJobStatus(body []byte, id string) (JobStatus, string) {
	var raw struct {
		StatusCode json.RawMessage
		Results    map[string]Location
		Result     *Location // before 2016, for the one output of those days
		Details    string
		CreatedAt  jobTime
		StartTime  jobTime
		EndTime    jobTime
		JobID      string `json:"JobId"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, utf8BOM), &raw); err != nil {
		return JobStatus{}, "the upstream's answer is no status of a job"
	}
	if raw.JobID != "" && raw.JobID != id {
		return JobStatus{}, "the upstream answered with another job's status"
	}
	s := JobStatus{Results: raw.Results, Details: raw.Details, Created: raw.CreatedAt.Time, Started: raw.StartTime.Time, Ended: raw.EndTime.Time}
	if raw.Result != nil && s.Results == nil {
		s.Results = map[string]Location{"output1": *raw.Result}
	}
	var number int
	switch {
	case json.Unmarshal(raw.StatusCode, &s.Word) == nil && s.Word != "":
		s.State = stateOf(s.Word)
	case json.Unmarshal(raw.StatusCode, &number) == nil && number >= 0 && number <= 4 && string(raw.StatusCode) != "null":
		s.State, s.Word = JobState(number+1), strconv.Itoa(number)
	default:
		return JobStatus{}, "the upstream's status of the job names no state"
	}
	return s, ""
}

// WithDetails returns a status answer with other details, all else as it came. It returns body itself where that has no
// details.
func WithDetails(body []byte, details string) []byte {
	s := &scanner{b: body}
	if bytes.HasPrefix(body, utf8BOM) {
		s.i = len(utf8BOM)
	}
	from, to := 0, 0
	err := s.members(func(name string) error {
		s.peek()
		start := s.i
		_, err := s.skip()
		if name == "Details" {
			from, to = start, s.i
		}
		return err
	})
	if err != nil || to == 0 {
		return body
	}
	out := append([]byte(nil), body[:from]...)
	return append(appendQuoted(out, details), body[to:]...)
}

// stateOf reads the upstream's word for a state. A word that nobody knows belongs to a job that was not seen to end.
func stateOf(word string) JobState {
	switch word {
	case "NotStarted":
		return NotStarted
	case "Failed":
		return Failed
	case "Cancelled", "Canceled":
		return Cancelled
	case "Finished":
		return Finished
	}
	return Running
}

// jobTime is a time as classic services write it: RFC 3339, and .NET's smallest value for none.
type jobTime struct{ time.Time }

// UnmarshalJSON reads a time; what is none is the zero time, since no client's work hangs on it.
func (t *jobTime) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.Year() > 1 {
			t.Time = at
		}
	}
	return nil
}

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/memory"
	"github.com/amlgate/amlgate/server/redact"
)

// Limits bound what one call may carry.
type Limits struct {
	// Request is the largest JSON sent upstream, Answer the largest taken from there after unpacking; bytes.
	Request, Answer int

	// Buffers lends what the tables lane writes its JSON into. Nil means a pool of the handler's own, bounded by 1 GiB.
	Buffers *memory.Pool
}

// Scoring implements amlgate.v1.ScoringService on one upstream.
type Scoring struct {
	v1.UnsafeScoringServiceServer
	upstream *azureml.Client
	limits   Limits
}

// NewScoring returns the service; both limits must be positive.
func NewScoring(upstream *azureml.Client, limits Limits) *Scoring {
	if limits.Buffers == nil {
		limits.Buffers = memory.NewPool(1 << 30)
	}
	return &Scoring{upstream: upstream, limits: limits}
}

// Execute scores one request in the lane it came in.
func (s *Scoring) Execute(ctx context.Context, req *v1.ExecuteRequest) (*v1.ExecuteResponse, error) {
	if f := checkService(req.GetWorkspace(), req.GetService(), req.GetApiVersion()); f != nil {
		return nil, f
	}
	switch payload := req.GetPayload().(type) {
	case *v1.ExecuteRequest_Json:
		return s.executeJSON(ctx, req, payload)
	case *v1.ExecuteRequest_Tables:
		return s.executeTables(ctx, req, payload.Tables)
	}
	return nil, Refuse(InvalidField, "payload", "one of json and tables is required")
}

// executeJSON passes AzureML's own JSON through. What is wrong with it is the upstream's to say.
func (s *Scoring) executeJSON(ctx context.Context, req *v1.ExecuteRequest, payload *v1.ExecuteRequest_Json) (*v1.ExecuteResponse, error) {
	body, call := payload.Json, CallFrom(ctx)
	if req.GetFormat() != "" && req.GetFormat() != "swagger" {
		return nil, Refuse(InvalidQuery, "format", "%q is not known; allowed are \"swagger\" and none", req.GetFormat())
	}
	if max(len(body), call.requestSize()) > s.limits.Request {
		return nil, TooLarge("json", s.limits.Request)
	}
	start := time.Now()
	answer, err := s.upstream.Execute(ctx, &azureml.Request{
		Workspace: req.GetWorkspace(), Service: req.GetService(),
		Details: req.GetDetails(), Swagger: req.GetFormat() != "",
		Header: call.Header, Body: body, Lease: call.takeRequest(),
	})
	asked(call, start, answer, err)
	payload.Json = nil // the buffer may be another call's by now
	if err != nil {
		return nil, FailureOf(err)
	}
	if body, err = s.body(call, answer); err != nil {
		return nil, FailureOf(err)
	}
	out := &struct { // in one piece: the garbage collector has less to do
		response v1.ExecuteResponse
		payload  v1.ExecuteResponse_Json
	}{payload: v1.ExecuteResponse_Json{Json: body}}
	out.response.Payload = &out.payload
	return &out.response, nil
}

// executeTables writes typed tables as AzureML's JSON and reads the answer back into tables, which hold nothing of it: who
// takes the answer's buffer may write over it.
func (s *Scoring) executeTables(ctx context.Context, req *v1.ExecuteRequest, input *v1.ScoringInput) (*v1.ExecuteResponse, error) {
	switch {
	case req.GetDetails():
		return nil, Refuse(InvalidField, "details", "belongs to the json lane; the tables lane always asks for details")
	case req.GetFormat() != "":
		return nil, Refuse(InvalidField, "format", "belongs to the json lane; tables have one format")
	}
	body, lease, f := s.writeTables(input)
	if f != nil {
		return nil, f
	}
	req.Payload = nil // the garbage collector can have the tables while the upstream works
	call, start := CallFrom(ctx), time.Now()
	answer, err := s.upstream.Execute(ctx, &azureml.Request{
		Workspace: req.GetWorkspace(), Service: req.GetService(), Details: true, Header: call.Header, Body: body, Lease: lease,
	})
	asked(call, start, answer, err)
	if err != nil {
		return nil, FailureOf(err)
	}
	plain, err := answer.Plain(int64(s.limits.Answer))
	if err != nil {
		return nil, FailureOf(err)
	}
	tables, err := azureml.ParseAnswer(plain)
	if err != nil {
		var not *azureml.NotTableError
		if errors.As(err, &not) {
			return nil, Refuse(AnswerNotTable, "", "%s; use the json lane", not)
		}
		return nil, caused(Refuse(UpstreamForeign, "", "the upstream's answer cannot be read: %s", err), err)
	}
	return &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Tables{Tables: output(tables)}}, nil
}

// writeTables writes typed input as AzureML's JSON. The buffer that it lies in is the caller's.
func (s *Scoring) writeTables(input *v1.ScoringInput) ([]byte, *memory.Buffer, *Failure) {
	tables := requestTables(input)
	lease, err := s.limits.Buffers.Admit(min(azureml.SizeHint(tables), s.limits.Request) + 1)
	if err != nil {
		return nil, nil, Full()
	}
	body, err := azureml.AppendRequest(lease.B[:0], tables, parameters(input.GetGlobalParameters()), s.limits.Request)
	if err != nil {
		lease.Release()
		var field *azureml.InputError
		if errors.As(err, &field) {
			return nil, nil, Refuse(InvalidField, "tables."+field.Field, "%s", field.Reason)
		}
		return nil, nil, TooLarge("tables", s.limits.Request)
	}
	return body, lease, nil
}

// GetServiceSchema fetches a service's Swagger document and reads the columns out of it.
func (s *Scoring) GetServiceSchema(ctx context.Context, req *v1.GetServiceSchemaRequest) (*v1.GetServiceSchemaResponse, error) {
	if f := checkService(req.GetWorkspace(), req.GetService(), req.GetApiVersion()); f != nil {
		return nil, f
	}
	call := CallFrom(ctx)
	answer, err := timed(call, func() (*azureml.Answer, error) {
		return s.upstream.Swagger(ctx, &azureml.Request{Workspace: req.GetWorkspace(), Service: req.GetService(), Header: call.Header})
	})
	if err != nil {
		var up *azureml.Error
		if errors.As(err, &up) && up.Status == http.StatusNotFound && up.Envelope.Error.Code == "" {
			return nil, caused(Refuse(SchemaNotPublished, "", "the upstream publishes no description of this service"), err)
		}
		return nil, FailureOf(err)
	}
	body, err := s.body(call, answer)
	if err != nil {
		return nil, FailureOf(err)
	}
	if call.Raw {
		return &v1.GetServiceSchemaResponse{SwaggerJson: body}, nil // REST answers the document alone
	}
	schema, err := azureml.ParseSchema(body)
	if err != nil {
		return nil, caused(Refuse(UpstreamForeign, "", "%s", err), err)
	}
	return schemaMessage(body, schema), nil
}

// body returns an answer's bytes: as they came for REST, whose header names the coding, unpacked for stubs.
func (s *Scoring) body(call *Call, answer *azureml.Answer) ([]byte, error) {
	if call.Raw {
		return answer.Body, nil
	}
	return answer.Plain(int64(s.limits.Answer))
}

// timed makes an upstream call and notes it in call.
func timed(call *Call, do func() (*azureml.Answer, error)) (*azureml.Answer, error) {
	start := time.Now()
	answer, err := do()
	asked(call, start, answer, err)
	return answer, err
}

// asked notes in call what the log and the caller's header want to know of an upstream call. The call keeps the answer
// until it is released.
func asked(call *Call, start time.Time, answer *azureml.Answer, err error) {
	call.Upstream = time.Since(start)
	var up *azureml.Error
	switch {
	case err == nil:
		call.UpstreamStatus, call.Answer, call.answer = http.StatusOK, answer.Header, answer
	case errors.As(err, &up):
		call.UpstreamStatus, call.Answer = up.Status, redact.Header(up.Header)
	}
}

// Full refuses a call that there is no room for.
func Full() *Failure {
	f := Refuse(NoRoom, "", "too many bytes of requests and answers are in flight (--max-in-flight); nothing ran, try again in a moment")
	f.RetryAfter = time.Second
	return f
}

// TooLarge refuses a request whose field would need more than limit bytes of JSON.
func TooLarge(field string, limit int) *Failure {
	return Refuse(RequestTooLarge, field, "more than %d bytes of JSON; AzureML takes no larger request (the limit here is --max-body)", limit)
}

// ValidID reports whether s can be a workspace's, service's or job's id: [A-Za-z0-9][A-Za-z0-9._-]{0,127}. Both surfaces
// hold to it, since ids become part of a URL.
func ValidID(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '_' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c-'0' > 9 && (c|0x20)-'a' > 25 && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

const wantID = "1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit, are required"

// checkService checks what names a service in every request.
func checkService(workspace, service, version string) *Failure {
	switch {
	case !ValidID(workspace):
		return Refuse(InvalidField, "workspace", wantID)
	case !ValidID(service):
		return Refuse(InvalidField, "service", wantID)
	case version != "" && version != "2.0":
		return Refuse(BadAPIVersion, "api-version", "Invalid version parameter was passed during the API call: %q. The only one known is 2.0", version)
	}
	return nil
}

package server_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// calls returns the access lines.
func (l *logBuffer) calls() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, "msg=call ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOneAccessLineACall(t *testing.T) {
	up := newScriptedUpstream(t, okScript)
	cfg := testConfig()
	cfg.Upstream = up.url()
	var log logBuffer
	t.Run("calls", func(t *testing.T) {
		srv := startLogging(t, cfg, &log)
		c := connect(t, srv)
		for _, line := range []string{"POST " + execute + "?details=true", "POST " + execute + "?x=1", "GET " + execute, "POST /workspaces/w1/services/s%2F/execute", "BREW /secret-path", "GET /healthz"} {
			c.exchange(t, wire(line+" HTTP/1.1\nHost: a\nx-ms-client-request-id: id-1\nContent-Length: auto\n\n{}"))
		}
		client := dial(t, srv)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-ms-client-request-id", "id-2")
		if _, err := v1.NewScoringServiceClient(client).Execute(ctx, scoreNothing); err != nil {
			t.Fatal(err)
		}
		_, _ = v1.NewScoringServiceClient(client).Execute(ctx, &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: make([]byte, 20<<20)}})
		_ = client.Invoke(ctx, "/secret.Service/Nope", scoreNothing, &v1.ExecuteResponse{})
	}) // the server has stopped, so every line is written
	got := log.calls()
	want := []string{
		`level=INFO .* surface=rest route="POST /workspaces/{workspace}/services/{service}/execute" code=OK http=200 ms= upstream_http=200 id=id-1`,
		`level=INFO .* surface=rest route="POST /workspaces/{workspace}/services/{service}/execute" code=InvalidArgument http=400 ms= upstream_http=0 id=id-1 error=`,
		`level=INFO .* surface=rest route="GET /workspaces/{workspace}/services/{service}/execute" code=Unimplemented http=405`,
		`level=INFO .* surface=rest route="POST unknown" code=NotFound http=404`,
		`level=INFO .* surface=rest route="OTHER unknown" code=NotFound http=404`,
		`level=DEBUG .* surface=rest route="GET /healthz" code=OK http=200`,
		`level=INFO .* surface=grpc route=/amlgate.v1.ScoringService/Execute code=OK ms= upstream_http=200 id=id-2`,
		`level=INFO .* surface=grpc route=/amlgate.v1.ScoringService/Execute code=ResourceExhausted ms= upstream_http=0 id=id-2 error= --max-message`,
		`level=INFO .* surface=grpc route=unknown code=Unimplemented`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, ""))
	}
	// A native call's line is written after its caller has the answer, so lines may change places.
	for _, pattern := range want {
		i := slices.IndexFunc(got, func(line string) bool { return inOrder(line, strings.Fields(pattern)) })
		if i < 0 {
			t.Errorf("no line is like %s in:\n%s", pattern, strings.Join(got, ""))
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("what a caller invented stands in the log:\n%s", log.String())
	}
}

// inOrder reports whether a line has all pieces in their order; ".*" is any.
func inOrder(line string, pieces []string) bool {
	for _, piece := range pieces {
		_, after, ok := strings.Cut(line, piece)
		if piece != ".*" && !ok {
			return false
		}
		if ok {
			line = after
		}
	}
	return true
}

// TestSecretsReachNobody plants secrets wherever a caller or an upstream can put one and looks for them wherever people
// can read.
func TestSecretsReachNobody(t *testing.T) {
	const secret = "hunter2SECRET=="
	script := fmt.Sprintf("HTTP/1.1 400 Bad Request\nContent-Type: application/json\nx-ms-request-id: Bearer %[1]s\nContent-Length: auto\n\n"+
		`{"error":{"code":"A AccountKey=%[1]s;","message":"B Bearer %[1]s","details":[{"code":"C sig=%[1]s&","target":"D ?sig=%[1]s","message":"E bearer %[1]s and AccountKey=%[1]s"}]}}`, secret)
	up := newScriptedUpstream(t, script)
	cfg := testConfig()
	cfg.Upstream = up.url()
	var log logBuffer
	var told strings.Builder
	t.Run("calls", func(t *testing.T) {
		srv := startLogging(t, cfg, &log)
		c := connect(t, srv)
		for _, target := range []string{execute, execute + "?subscription-key=" + secret, execute + "?sig=" + secret, execute + "?format=sig=" + secret, execute + "?api-version=AccountKey%3D" + secret, "/" + secret} {
			resp, body := c.exchange(t, wire("POST "+target+" HTTP/1.1\nHost: a\nAuthorization: Bearer "+secret+"\nOcp-Apim-Subscription-Key: "+secret+
				"\nCookie: "+secret+"\nx-ms-client-request-id: AccountKey="+secret+"\nContent-Length: auto\n\n{\"Inputs\":\"AccountKey="+secret+"\"}"))
			fmt.Fprintln(&told, resp.Status, resp.Header, body)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret, "x-ms-client-request-id", "Bearer "+secret)
		client := v1.NewScoringServiceClient(dial(t, srv))
		for _, req := range []*v1.ExecuteRequest{
			scoreNothing,
			{Workspace: "AccountKey=" + secret, Service: "s1"},
			{Workspace: "w1", Service: "s1", ApiVersion: "sig=" + secret, Payload: scoreNothing.GetPayload()},
			{Workspace: "w1", Service: "s1", Format: "Bearer " + secret, Payload: scoreNothing.GetPayload()},
			{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{Inputs: map[string]*v1.Table{"AccountKey=" + secret: {Columns: []*v1.Column{{Name: "sig=" + secret}}}}}}},
		} {
			_, err := client.Execute(ctx, req)
			fmt.Fprintln(&told, err, errorText(t, err))
		}
	})
	if !strings.Contains(strings.Join(up.asked(), ""), "Authorization: Bearer "+secret) {
		t.Error("the upstream did not get the caller's key")
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("in the log:\n%s", log.String())
	}
	if strings.Contains(told.String(), "hunter2") {
		t.Errorf("in an answer:\n%s", told.String())
	}
}

// TestJobSecretsReachNobody does the same for jobs: connection strings and SAS tokens in what callers send and in what
// the upstream says. Only the results of GetJob carry what opens a blob, since that is what they are for.
func TestJobSecretsReachNobody(t *testing.T) {
	const secret = "hunter2SECRET=="
	up := newScriptedUpstream(t, "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n"+
		`{"StatusCode":"Failed","Results":{"output1":{"ConnectionString":"AccountKey=`+secret+`","BaseLocation":"https://a/?sig=`+secret+`","RelativeLocation":"c/x?sig=`+secret+`","SasBlobToken":"?sv=1&sig=`+secret+`"}},"Details":"Module: AccountKey=`+secret+`; \u0026sig=`+secret+` Bearer `+secret+`"}`)
	cfg := testConfig()
	cfg.Upstream = up.url()
	var log logBuffer
	var told strings.Builder
	t.Run("calls", func(t *testing.T) {
		srv := startLogging(t, cfg, &log)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret)
		client := v1.NewJobServiceClient(dial(t, srv))
		blob := &v1.BlobReference{ConnectionString: "AccountName=a;AccountKey=" + secret, BaseLocation: "https://a/?sig=" + secret, SasBlobToken: "?sig=" + secret}
		for _, batch := range []*v1.BatchInput{
			{Inputs: map[string]*v1.BlobReference{"AccountKey=" + secret: blob}},
			{Outputs: map[string]*v1.BlobReference{"o": blob}},
			{Inputs: map[string]*v1.BlobReference{"i": {RelativeLocation: "c/b", ConnectionString: "AccountKey=" + secret}}},
		} {
			_, err := client.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Batch{Batch: batch}})
			fmt.Fprintln(&told, err, errorText(t, err))
		}
		stream, err := client.WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
		for err == nil {
			var e *v1.WatchJobResponse
			if e, err = stream.Recv(); err == nil {
				fmt.Fprintln(&told, e)
			}
		}
		_, err = client.WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1", Cursor: "sig=" + secret})
		fmt.Fprintln(&told, err)
		job, err := client.GetJob(ctx, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
		if err != nil || !strings.Contains(job.GetJob().GetResults()["output1"].GetSasBlobToken(), secret) {
			t.Errorf("%v %v", job, err)
		}
		fmt.Fprintln(&told, job.GetJob().GetDetails())
		c := connect(t, srv)
		for _, request := range []string{
			"GET /workspaces/w1/services/s1/jobs/j1/watch", "GET /workspaces/w1/services/s1/jobs/j1/watch?cursor=sig=" + secret,
			"GET /workspaces/w1/services/s1/jobs?page_token=sig%3D" + secret, "GET /workspaces/w1/services/s1/jobs",
			"POST /workspaces/w1/services/s1/jobs", "DELETE /workspaces/w1/services/s1/jobs/j1",
		} {
			_, body := c.exchange(t, wire(request+" HTTP/1.1\nHost: a\nAuthorization: Bearer "+secret+"\nContent-Length: auto\n\n{\"Input\":{\"ConnectionString\":\"AccountKey="+secret+"\"}}"))
			fmt.Fprintln(&told, body)
		}
		_, body := c.exchange(t, wire("GET /workspaces/w1/services/s1/jobs/j1 HTTP/1.1\nHost: a\nAuthorization: Bearer "+secret+"\n\n"))
		_, details, _ := strings.Cut(body, `"Details"`)
		fmt.Fprintln(&told, details)
		if !strings.Contains(body, `"SasBlobToken":"?sv=1&sig=`+secret+`"`) || !strings.Contains(details, "Module: AccountKey=[redacted]") {
			t.Errorf("GetJob over REST: %s", body)
		}
	})
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("in the log:\n%s", log.String())
	}
	if strings.Contains(told.String(), "hunter2") {
		t.Errorf("in an answer:\n%s", told.String())
	}
}

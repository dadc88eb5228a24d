package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

// restart stops a server and starts another with the same configuration.
func restart(t *testing.T, cfg server.Config, stop context.CancelFunc, ended chan error) (*server.Server, context.CancelFunc, chan error) {
	t.Helper()
	stop()
	if err := <-ended; err != nil {
		t.Fatalf("stop: %v", err)
	}
	return running(t, cfg)
}

// What was submitted is listed after a restart, a repeated request has its first answer, and a watch goes on where it
// was.
func TestJournalSurvivesARestart(t *testing.T) {
	up := newFakeJobs(t)
	cfg := watchConfig(up)
	cfg.Store.Data = t.TempDir()
	srv, stop, ended := running(t, cfg)
	submit := &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", RequestId: "123e4567-e89b-42d3-a456-426614174000", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}}
	first, err := v1.NewJobServiceClient(dial(t, srv)).SubmitJob(withKey(t.Context(), "k1"), submit)
	if err != nil {
		t.Fatal(err)
	}
	id := first.GetJobId()
	watchPath := "/workspaces/w1/services/s1/jobs/" + id + "/watch"
	resp, r := watchREST(t, srv, watchPath, "Accept: text/event-stream")
	seen := readEvent(t, r)
	_ = resp.Body.Close()
	up.set(id, "Running")
	if _, err := v1.NewJobServiceClient(dial(t, srv)).GetJob(withKey(t.Context(), "k1"), &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: id}); err != nil {
		t.Fatal(err)
	}
	up.set(id, "Step 2")
	srv, stop, ended = restart(t, cfg, stop, ended)
	client := v1.NewJobServiceClient(dial(t, srv))
	again, err := client.SubmitJob(withKey(t.Context(), "k1"), submit)
	if err != nil || again.GetJobId() != id {
		t.Errorf("repeated: %v %v, want %s", again, err, id)
	}
	list, err := client.ListJobs(withKey(t.Context(), "k1"), &v1.ListJobsRequest{Workspace: "w1", Service: "-"})
	if err != nil || len(list.GetJobs()) != 1 || list.GetJobs()[0].GetUpstreamState() != "Running" {
		t.Errorf("listed: %v %v", list, err)
	}
	_, r = watchREST(t, srv, watchPath, "Accept: text/event-stream", "Last-Event-ID: "+seen.id)
	for _, want := range []string{`"Running"`, `"Step 2"`} {
		e := readEvent(t, r)
		for e.event == "heartbeat" {
			e = readEvent(t, r)
		}
		if !strings.Contains(e.data, want) || strings.Contains(e.data, `"skipped":true`) {
			t.Errorf("told %s, want %s", e.data, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	secret := false
	_ = filepath.WalkDir(cfg.Store.Data, func(path string, d os.DirEntry, _ error) error {
		b, _ := os.ReadFile(path)
		secret = secret || strings.Contains(string(b), "k1\"") || strings.Contains(string(b), "Bearer")
		return nil
	})
	if secret {
		t.Error("a key is in the journal")
	}
}

// Request ids over both surfaces: they are the same ids.
func TestRequestIDsOverBothSurfaces(t *testing.T) {
	up := newFakeJobs(t)
	srv := start(t, watchConfig(up))
	const id = "123e4567-e89b-42d3-a456-426614174000"
	post := func(key, body string) (*http.Response, string) {
		return connect(t, srv).exchange(t, wire("POST /workspaces/w1/services/s1/jobs HTTP/1.1\nHost: a\nAuthorization: Bearer "+key+"\nIdempotency-Key: "+id+"\nContent-Length: auto\n\n"+body))
	}
	if resp, body := post("k1", "{}"); resp.StatusCode != 200 || body != `"job0"` {
		t.Errorf("first: %s %s", resp.Status, body)
	}
	if resp, body := post("k1", "{}"); resp.StatusCode != 200 || body != `"job0"` {
		t.Errorf("repeated: %s %s", resp.Status, body)
	}
	if resp, body := post("k2", "{}"); resp.StatusCode != 200 || body != `"job1"` {
		t.Errorf("another caller's: %s %s", resp.Status, body)
	}
	resp, body := post("k1", `{"Inputs":{}}`)
	if d := envelope(t, resp, body); resp.StatusCode != 409 || d.Code != "RequestIdReused" || !strings.Contains(d.Message, "request_id") {
		t.Errorf("another body: %s %+v", resp.Status, d)
	}
	client := v1.NewJobServiceClient(dial(t, srv))
	submit := &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", RequestId: id, Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}}
	if got, err := client.SubmitJob(withKey(t.Context(), "k1"), submit); err != nil || got.GetJobId() != "job0" {
		t.Errorf("over gRPC: %v %v", got, err)
	}
	submit.Service = "s2"
	if _, err := client.SubmitJob(withKey(t.Context(), "k1"), submit); status.Code(err) != codes.AlreadyExists {
		t.Errorf("for another service: %v", err)
	}
	_, err := client.StartJob(withKey(t.Context(), "k1"), &v1.StartJobRequest{Workspace: "w1", Service: "s1", JobId: "job0", RequestId: id})
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("for another method: %v", err)
	}
}

// startsAt counts the starts that reach an upstream, and may lose their answers.
type startsAt struct {
	*fakeJobs
	mu     sync.Mutex
	starts int
	lose   bool
}

func newStartsAt(t *testing.T) (*startsAt, server.Config) {
	s := &startsAt{fakeJobs: newFakeJobs(t)}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/start") {
			s.serve(w, r)
			return
		}
		s.mu.Lock()
		s.starts++
		lose := s.lose
		s.mu.Unlock()
		s.set(strings.Split(r.URL.Path, "/")[6], "Running")
		if lose {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(front.Close)
	cfg := watchConfig(s.fakeJobs)
	cfg.Upstream = front.URL
	return s, cfg
}

// A start whose answer was lost is not sent again, by either surface; with the same request id it has succeeded.
func TestStartIsSentOnce(t *testing.T) {
	up, cfg := newStartsAt(t)
	up.lose = true
	srv := start(t, cfg)
	client := v1.NewJobServiceClient(dial(t, srv))
	ctx := withKey(t.Context(), "k1")
	sub, err := client.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	req := &v1.StartJobRequest{Workspace: "w1", Service: "s1", JobId: sub.GetJobId(), RequestId: "123e4567-e89b-42d3-a456-426614174000"}
	if _, err := client.StartJob(ctx, req); status.Code(err) != codes.Internal {
		t.Errorf("its answer was lost: %v", err)
	}
	if _, err := client.StartJob(ctx, req); err != nil {
		t.Errorf("the same request: %v", err)
	}
	path := "/workspaces/w1/services/s1/jobs/" + sub.GetJobId() + "/start"
	resp, body := connect(t, srv).exchange(t, wire("POST "+path+" HTTP/1.1\nHost: a\nAuthorization: Bearer k1\nContent-Length: 0\n\n"))
	if d := envelope(t, resp, body); resp.StatusCode != 400 || d.Code != "CannotStartJob" || !strings.Contains(d.Message, "Running state") {
		t.Errorf("another: %s %+v", resp.Status, d)
	}
	if up.starts != 1 {
		t.Errorf("%d starts were sent", up.starts)
	}
}

// managedConfig has both keys in files.
func managedConfig(t *testing.T, upstream string) server.Config {
	t.Helper()
	cfg := testConfig()
	cfg.Upstream = upstream
	dir := t.TempDir()
	cfg.UpstreamKeyFile, cfg.CallerKeyFile = filepath.Join(dir, "up"), filepath.Join(dir, "caller")
	_ = os.WriteFile(cfg.UpstreamKeyFile, []byte("up-key\n"), 0o600)
	_ = os.WriteFile(cfg.CallerKeyFile, []byte("  caller-key\n"), 0o600)
	return cfg
}

func TestManagedKeys(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	var mu sync.Mutex
	seen := map[string]int{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("Authorization")+r.Header.Get("Ocp-Apim-Subscription-Key")+r.URL.Query().Get("subscription-key")]++
		mu.Unlock()
		up.serve(w, r)
	}))
	defer front.Close()
	srv := start(t, managedConfig(t, front.URL))
	const path = "/workspaces/w1/services/s1/jobs/j1"
	for _, tc := range []struct {
		query, head string
		http        int
		says        string
	}{
		{"", "Authorization: Bearer caller-key", 200, ""},
		{"", "Ocp-Apim-Subscription-Key: caller-key", 200, ""},
		{"?subscription-key=caller-key", "X: y", 200, ""},
		{"?subscription-key=caller-key", "Authorization: bearer  caller-key\nOcp-Apim-Subscription-Key: caller-key", 200, ""},
		{"", "X: y", 401, "a key is needed"},
		{"", "Authorization: Bearer up-key", 401, "not one of this service's"},
		{"", "Authorization: Basic caller-key", 401, "not one of this service's"},
		{"", "Authorization: Bearer caller-key2", 401, "not one of this service's"},
		{"?subscription-key=other", "Authorization: Bearer caller-key", 400, "not the same"},
		{"", "Ocp-Apim-Subscription-Key: caller-key\nOcp-Apim-Subscription-Key: x", 400, "not the same"},
	} {
		for _, p := range []string{path, path + "/watch"} {
			c := connect(t, srv)
			_, _ = c.Write(wire("GET " + p + tc.query + " HTTP/1.1\nHost: a\n" + tc.head + "\n\n"))
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.http {
				t.Errorf("%s %q: %s, want %d", p+tc.query, tc.head, resp.Status, tc.http)
			}
			if tc.http != 200 {
				b, _ := io.ReadAll(resp.Body)
				if d := envelope(t, resp, string(b)); !strings.Contains(d.Message, tc.says) || strings.Contains(string(b), "caller-key") {
					t.Errorf("%s %q: %+v", p+tc.query, tc.head, d)
				}
			}
			_ = c.Close()
		}
	}
	for _, md := range []string{"authorization", "ocp-apim-subscription-key", "subscription-key"} {
		value := "caller-key"
		if md == "authorization" {
			value = "Bearer caller-key"
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), md, value)
		if _, err := v1.NewJobServiceClient(dial(t, srv)).GetJob(ctx, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"}); err != nil {
			t.Errorf("gRPC, %s: %v", md, err)
		}
		if _, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(metadata.AppendToOutgoingContext(t.Context(), md, "x"), scoreNothing); status.Code(err) != codes.Unauthenticated {
			t.Errorf("gRPC, a wrong %s: %v", md, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 || seen["Bearer up-key"] == 0 {
		t.Errorf("the upstream was shown %v", seen)
	}
}

// Both keys can be replaced while the server runs.
func TestManagedKeysAreReplaced(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	var shown atomic.Value
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown.Store(r.Header.Get("Authorization"))
		up.serve(w, r)
	}))
	defer front.Close()
	cfg := managedConfig(t, front.URL)
	client := v1.NewJobServiceClient(dial(t, start(t, cfg)))
	get := func(key string) error {
		_, err := client.GetJob(withKey(t.Context(), key), &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
		return err
	}
	if err := get("caller-key"); err != nil || shown.Load() != "Bearer up-key" {
		t.Errorf("%v, the upstream was shown %v", err, shown.Load())
	}
	_ = os.WriteFile(cfg.UpstreamKeyFile, []byte("up-key2\n"), 0o600)
	_ = os.WriteFile(cfg.CallerKeyFile, []byte("caller-key2\n"), 0o600)
	for get("caller-key2") != nil || shown.Load() != "Bearer up-key2" {
		continue // until a second is over
	}
	if err := get("caller-key"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the key from before: %v", err)
	}
}

// That the upstream refuses the server's key is no caller's fault, and loses nobody the access.
func TestManagedUpstreamRefusesTheKey(t *testing.T) {
	up := newFakeJobs(t)
	srv := start(t, managedConfig(t, up.url))
	client := v1.NewJobServiceClient(dial(t, srv))
	ctx := withKey(t.Context(), "caller-key")
	sub, err := client.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	up.refuse("up-key")
	_, err = client.GetJob(ctx, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: sub.GetJobId()})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "--upstream-key-file") {
		t.Errorf("%v", err)
	}
	list, err := client.ListJobs(ctx, &v1.ListJobsRequest{Workspace: "w1", Service: "-"})
	if err != nil || len(list.GetJobs()) != 1 {
		t.Errorf("%v %v", list, err)
	}
	stream, err := client.WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: sub.GetJobId()})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := stream.Recv(); err != nil || e.GetJob().GetState() != v1.JobState_JOB_STATE_NOT_STARTED {
		t.Errorf("the journal's state: %v %v", e, err)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		name := filepath.Join(dir, fmt.Sprint(len(content)))
		_ = os.WriteFile(name, []byte(content), 0o600)
		return name
	}
	good, empty, two := file("hunter2"), file(""), file("hunter2 hunter3")
	for _, tc := range []struct{ up, caller, says string }{
		{good, "", "go together"}, {"", good, "go together"}, {empty, good, "--upstream-key-file"}, {good, two, "--caller-key-file"},
		{good, filepath.Join(dir, "none"), "--caller-key-file"},
	} {
		cfg := testConfig()
		cfg.UpstreamKeyFile, cfg.CallerKeyFile = tc.up, tc.caller
		_, err := server.New(cfg, testLogger(io.Discard))
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

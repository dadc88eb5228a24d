package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

// fakeJobs is an upstream's jobs whose states the test sets.
type fakeJobs struct {
	url string

	mu    sync.Mutex
	state map[string]string
	keys  map[string]bool // keys that are refused
	polls int
}

func newFakeJobs(t testing.TB) *fakeJobs {
	t.Helper()
	f := &fakeJobs{state: map[string]string{}, keys: map[string]bool{}}
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *fakeJobs) set(job, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[job] = state
}

// asked is how often a job's status was read.
func (f *fakeJobs) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.polls
}

func (f *fakeJobs) refuse(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys["Bearer "+key] = true
}

func (f *fakeJobs) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if f.keys[r.Header.Get("Authorization")] {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"Unauthorized","message":"m","details":[{"code":"ScoreRequestUnauthorized","message":"Invalid credentials provided."}]}}`)
		return
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/jobs") {
		id := fmt.Sprintf("job%d", len(f.state))
		f.state[id] = "NotStarted"
		fmt.Fprintf(w, "%q", id)
		return
	}
	job := strings.Split(r.URL.Path, "/")[6]
	state, ok := f.state[job]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"NotFound","message":"m","details":[{"code":"JobNotFound","message":"m"}]}}`)
		return
	}
	f.polls++
	fmt.Fprintf(w, `{"StatusCode":%q,"Results":null,"Details":null,"CreatedAt":"2016-10-14T14:52:33.979Z","StartTime":"0001-01-01T00:00:00+00:00","EndTime":"0001-01-01T00:00:00+00:00"}`, state)
}

// watchConfig polls fast, so that tests need not wait.
func watchConfig(up *fakeJobs) server.Config {
	cfg := testConfig()
	cfg.Upstream = up.url
	cfg.Watch.PollMin, cfg.Watch.PollMax, cfg.Watch.Heartbeat = 5*time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	return cfg
}

// sse is one server-sent event.
type sse struct{ id, event, data string }

// readEvent reads the next event of a stream; comments and retry lines are passed over.
func readEvent(t *testing.T, r *bufio.Reader) sse {
	t.Helper()
	var e sse
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream broke: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.event != "" {
				return e
			}
		}
	}
}

// watchREST opens a watch and returns the answer; headers are "Name: value" lines.
func watchREST(t *testing.T, srv *server.Server, path string, headers ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+srv.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer k1")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

const watchPath = "/workspaces/w1/services/s1/jobs/j1/watch"

func TestWatchByServerSentEvents(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "NotStarted")
	srv := start(t, watchConfig(up))
	resp, r := watchREST(t, srv, watchPath, "Accept: text/event-stream", "Accept-Encoding: gzip")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	first := readEvent(t, r)
	beat := readEvent(t, r)
	if first.event != "job" || beat.event != "heartbeat" || beat.id != first.id {
		t.Errorf("%+v, then %+v", first, beat)
	}
	up.set("j1", "Running")
	e := beat
	for e.event == "heartbeat" {
		e = readEvent(t, r)
	}
	if !strings.Contains(e.data, "JOB_STATE_RUNNING") {
		t.Errorf("%+v", e)
	}
	_ = resp.Body.Close()

	up.set("j1", "Finished")
	_, r = watchREST(t, srv, watchPath, "Accept: text/event-stream", "Last-Event-ID: "+e.id)
	last := readEvent(t, r)
	for last.event == "heartbeat" {
		last = readEvent(t, r)
	}
	end := readEvent(t, r)
	if last.event != "job" || !strings.Contains(last.data, "JOB_STATE_FINISHED") || end.event != "end" || !strings.Contains(end.data, "REASON_TERMINAL") || strings.Contains(last.data, `"skipped":true`) {
		t.Errorf("%+v, then %+v", last, end)
	}
	// An EventSource comes back whenever a stream ends, and only 204 keeps it from that.
	for _, header := range []string{"Last-Event-ID: " + last.id, "Last-Event-ID: " + end.id} {
		if resp, _ := watchREST(t, srv, watchPath, header); resp.StatusCode != http.StatusNoContent {
			t.Errorf("back at the end: %s", resp.Status)
		}
	}
	resp, r = watchREST(t, srv, watchPath+"?cursor="+first.id, "Last-Event-ID: "+last.id)
	body, _ := io.ReadAll(r)
	if d := envelope(t, resp, string(body)); resp.StatusCode != 400 || !strings.Contains(d.Message, "Last-Event-ID") {
		t.Errorf("two cursors: %s %+v", resp.Status, d)
	}
	if resp, _ := watchREST(t, srv, watchPath+"?cursor="+last.id, "Last-Event-ID: "+last.id); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the same cursor twice: %s", resp.Status)
	}
}

func TestWatchEndsWhenTheServerStops(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	cfg := watchConfig(up)
	srv, stop, ended := running(t, cfg)
	_, r := watchREST(t, srv, watchPath)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer k1")
	stream, err := v1.NewJobServiceClient(dial(t, srv)).WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	lines, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(lines), "REASON_DRAINING") {
		t.Errorf("REST: %v %s", err, lines)
	}
	var last *v1.WatchJobResponse
	for {
		e, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	if last.GetEnd().GetReason() != v1.WatchEnd_REASON_DRAINING || last.GetCursor() == "" {
		t.Errorf("gRPC: %v", last)
	}
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestWatchLosesAccess(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	srv := start(t, watchConfig(up))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer k1")
	stream, err := v1.NewJobServiceClient(dial(t, srv)).WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	_, r := watchREST(t, srv, watchPath)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	up.refuse("k1")
	var last *v1.WatchJobResponse
	for {
		e, err := stream.Recv()
		if err != nil {
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
			break
		}
		last = e
	}
	if last.GetEnd().GetReason() != v1.WatchEnd_REASON_ACCESS_LOST {
		t.Errorf("gRPC: %v", last)
	}
	if lines, err := io.ReadAll(r); err != nil || !strings.Contains(string(lines), "REASON_ACCESS_LOST") {
		t.Errorf("REST: %v %s", err, lines)
	}
}

func TestWatchCapsOverBothSurfaces(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	cfg := watchConfig(up)
	cfg.Watch.MaxWatchesPerKey = 1
	srv := start(t, cfg)
	open, r := watchREST(t, srv, watchPath)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	resp, body := watchREST(t, srv, watchPath)
	text, _ := io.ReadAll(body)
	if d := envelope(t, resp, string(text)); resp.StatusCode != 429 || !strings.Contains(d.Message, "--max-watches-per-key") {
		t.Errorf("REST: %s %+v", resp.Status, d)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "bearer  k1")
	stream, err := v1.NewJobServiceClient(dial(t, srv)).WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "--max-watches-per-key") {
		t.Errorf("gRPC: %v", err)
	}
	_ = open.Body.Close()
}

// TestListedByCredential submits with two keys and lists with each.
func TestListedByCredential(t *testing.T) {
	up := newFakeJobs(t)
	srv := start(t, watchConfig(up))
	client := v1.NewJobServiceClient(dial(t, srv))
	as := func(key string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", key)
	}
	for _, key := range []string{"Bearer k1", "Bearer k1", "Bearer k2"} {
		if _, err := client.SubmitJob(as(key), &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}}); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]string{"bearer  k1": "job1 job0", "Bearer k2": "job2", "Bearer k3": ""} {
		resp, err := client.ListJobs(as(key), &v1.ListJobsRequest{Workspace: "w1", Service: "-"})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, j := range resp.GetJobs() {
			ids = append(ids, j.GetJobId())
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("with %s: %q, want %q", key, got, want)
		}
	}
	if _, err := client.ListJobs(t.Context(), &v1.ListJobsRequest{Workspace: "w1", Service: "-"}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
	var page struct {
		Jobs []struct {
			JobID string `json:"jobId"`
			State string
		}
		NextPageToken string
	}
	c := connect(t, srv)
	_, body := c.exchange(t, wire("GET /workspaces/w1/services/s1/jobs?page_size=1 HTTP/1.1\nHost: a\nAuthorization: Bearer k1\n\n"))
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Jobs) != 1 || page.Jobs[0].JobID != "job1" || page.Jobs[0].State != "JOB_STATE_NOT_STARTED" || page.NextPageToken == "" {
		t.Fatalf("over REST: %s", body)
	}
	_, body = c.exchange(t, wire("GET /workspaces/w1/services/s1/jobs?page_size=1&page_token="+page.NextPageToken+" HTTP/1.1\nHost: a\nAuthorization: Bearer k1\n\n"))
	if !strings.Contains(body, "job0") || strings.Contains(body, "nextPageToken") {
		t.Errorf("the second page: %s", body)
	}
}

// droppingProxy passes bytes on to addr and can cut all its connections.
type droppingProxy struct {
	addr string
	mu   sync.Mutex
	open []net.Conn
}

func newDroppingProxy(t *testing.T, addr string) *droppingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &droppingProxy{addr: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close(); p.drop() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, in, out)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return p
}

// drop cuts what is open and returns how many connections that were.
func (p *droppingProxy) drop() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.open) / 2
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	return n
}

package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/metadata"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// A HEAD gets the head alone, and its connection goes on.
func TestWatchHead(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	srv := start(t, watchConfig(up))
	c, err := net.Dial("tcp", srv.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	fmt.Fprintf(c, "HEAD %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k1\r\n\r\n", watchPath)
	resp, err := http.ReadResponse(r, &http.Request{Method: "HEAD"})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err = http.ReadResponse(r, nil); err != nil {
		t.Errorf("the next call on the connection: %v", err)
	}
}

// Grpc-Timeout ends a watch as a deadline does over gRPC.
func TestWatchGrpcTimeout(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "Running")
	srv := start(t, watchConfig(up))
	resp, r := watchREST(t, srv, watchPath, "Grpc-Timeout: 1500m")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	done := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		done <- string(b)
	}()
	select {
	case b := <-done:
		if !strings.Contains(b, "REASON_DEADLINE") {
			t.Error(b)
		}
	case <-time.After(time.Minute):
		t.Error("still streaming long after the deadline")
	}
	resp, _ = watchREST(t, srv, watchPath, "Grpc-Timeout: soon")
	if resp.StatusCode != 400 {
		t.Errorf("a broken Grpc-Timeout: %s", resp.Status)
	}
}

// A front's bare 404 is not AzureML's word, and removes no job from anybody's list.
func TestWatchBare404(t *testing.T) {
	var bare atomic.Bool
	f := newFakeJobs(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bare.Load() {
			http.Error(w, "<h1>no backend</h1>", 404)
			return
		}
		f.serve(w, r)
	}))
	defer front.Close()
	cfg := watchConfig(f)
	cfg.Upstream = front.URL
	srv := start(t, cfg)
	jobs := v1.NewJobServiceClient(dial(t, srv))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer k1")
	sub, err := jobs.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	// somebody with another key, who gets a bare 404
	bare.Store(true)
	other := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer stranger")
	_, err = jobs.GetJob(other, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: sub.GetJobId()})
	t.Log(err)
	bare.Store(false)
	list, err := jobs.ListJobs(ctx, &v1.ListJobsRequest{Workspace: "w1", Service: "-"})
	if err != nil || len(list.GetJobs()) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// A stream's header metadata comes before the first event, here while the upstream still thinks.
func TestWatchHeadersAtOnce(t *testing.T) {
	h := newHolding(t)
	cfg := testConfig()
	cfg.Upstream = h.url
	srv := start(t, cfg)
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx := metadata.AppendToOutgoingContext(limited, "authorization", "Bearer k1", "x-ms-client-request-id", "id-1")
	stream, err := v1.NewJobServiceClient(dial(t, srv)).WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	<-h.came
	md, err := stream.Header()
	if err != nil || first(md.Get("x-ms-client-request-id")) != "id-1" {
		t.Errorf("%v %v", md, err)
	}
	close(h.let)
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// A job that ended unwatched and was removed does not stay in the list.
func TestDeletedJobLeavesTheList(t *testing.T) {
	f := newFakeJobs(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			f.mu.Lock()
			delete(f.state, strings.Split(r.URL.Path, "/")[6])
			f.mu.Unlock()
			w.WriteHeader(204)
			return
		}
		f.serve(w, r)
	}))
	defer front.Close()
	cfg := watchConfig(f)
	cfg.Upstream = front.URL
	srv := start(t, cfg)
	jobs := v1.NewJobServiceClient(dial(t, srv))
	limited, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ctx := metadata.AppendToOutgoingContext(limited, "authorization", "Bearer k1")
	sub, _ := jobs.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: []byte("{}")}})
	f.set(sub.GetJobId(), "Finished")
	if _, err := jobs.DeleteJob(ctx, &v1.DeleteJobRequest{Workspace: "w1", Service: "s1", JobId: sub.GetJobId()}); err != nil {
		t.Fatal(err)
	}
	for { // it is asked about in the background
		list, err := jobs.ListJobs(ctx, &v1.ListJobsRequest{Workspace: "w1", Service: "-"})
		if err != nil {
			t.Fatalf("a removed job stays listed: %v", err)
		}
		if len(list.GetJobs()) == 0 {
			return
		}
	}
}

// Somebody who does not read keeps nobody else from any change. What is queued for the reader is bounded, and the latest
// state comes when it reads again.
func TestWatchStalledReader(t *testing.T) {
	up := newFakeJobs(t)
	up.set("j1", "step 0")
	cfg := testConfig()
	cfg.Upstream = up.url
	cfg.Watch.PollMin, cfg.Watch.PollMax = time.Hour, time.Hour
	srv := start(t, cfg)
	client := v1.NewJobServiceClient(dial(t, srv))
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx := withKey(limited, "k1")
	stalled := newH2(t, srv)
	id := stalled.call(t, v1.JobService_WatchJob_FullMethodName, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	stalled.await(t, id)
	others, err := client.WatchJob(ctx, &v1.WatchJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	const changes, size = 300, 2000 // ten times what a stream may queue
	var want string
	for i := range changes + 1 {
		if i > 0 {
			want = fmt.Sprintf("step %d %0*d", i, size, i)
			up.set("j1", want)
			if _, err := client.GetJob(ctx, &v1.GetJobRequest{Workspace: "w1", Service: "s1", JobId: "j1"}); err != nil {
				t.Fatal(err)
			}
		}
		e, err := others.Recv()
		if err != nil || i > 0 && (e.GetJob().GetUpstreamState() != want || e.GetSkipped()) {
			t.Fatalf("change %d: %v %v", i, err, e)
		}
	}
	_ = stalled.framer.WriteWindowUpdate(0, 1<<24)
	_ = stalled.framer.WriteWindowUpdate(id, 1<<24)
	_ = stalled.conn.SetReadDeadline(time.Now().Add(time.Minute))
	var got []byte
	for !strings.Contains(string(got), want) {
		frame, err := stalled.framer.ReadFrame()
		if err != nil {
			t.Fatalf("the latest state did not come: %v", err)
		}
		if f, ok := frame.(*http2.DataFrame); ok {
			got = append(got, f.Data()...)
		}
	}
	if len(got) > changes*size/2 {
		t.Errorf("%d bytes were kept of %d", len(got), changes*size)
	}
}

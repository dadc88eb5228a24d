package server_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

func TestConfigErrorsNameTheFlag(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*server.Config)
		says   []string
	}{
		{"no port", func(c *server.Config) { c.HTTP = "127.0.0.1" }, []string{"--http", "HOST:PORT"}},
		{"a busy port", func(c *server.Config) { c.GRPC = busy.Addr().String() }, []string{"--grpc", "in use"}},
		{"the same port twice", func(c *server.Config) { c.HTTP = busy.Addr().String() }, []string{"--http", "in use"}},
		{"a busy port for blobs", func(c *server.Config) { c.Blob = busy.Addr().String() }, []string{"--blob", "in use"}},
		{"published keys beyond loopback", func(c *server.Config) { c.Blob = "0.0.0.0:0" }, []string{"--blob", "--insecure-dev-keys"}},
		{"cleartext beyond loopback", func(c *server.Config) { c.HTTP = "0.0.0.0:0" }, []string{"--http", "cleartext", "--allow-cleartext", "--tls-cert"}},
		{"cleartext on a name", func(c *server.Config) { c.GRPC = "amlgate.example:9090" }, []string{"--grpc", "cleartext"}},
		{"half a certificate", func(c *server.Config) { c.TLSCert = file }, []string{"--tls-cert", "--tls-key", "missing"}},
		{"no certificate", func(c *server.Config) { c.TLSCert, c.TLSKey = file, file }, []string{"--tls-cert"}},
		{"body limit", func(c *server.Config) { c.MaxBody = 0 }, []string{"--max-body", "1 to"}},
		{"answer limit", func(c *server.Config) { c.MaxAnswer = -1 }, []string{"--max-answer", "1 to"}},
		{"message limit below 0", func(c *server.Config) { c.MaxMessage = -1 }, []string{"--max-message", "1 to"}},
		{"message limit", func(c *server.Config) { c.MaxMessage = 1<<30 + 1 }, []string{"--max-message", "1 to 1073741824"}},
		{"room for less than a call", func(c *server.Config) { c.MaxInFlight = 2*(4<<20+64<<20) - 1 }, []string{"--max-in-flight", "142606336 bytes or more", "--max-body", "--max-answer"}},
		{"room below 0", func(c *server.Config) { c.MaxInFlight = -1 }, []string{"--max-in-flight", "or more"}},
		{"metrics without a port", func(c *server.Config) { c.Metrics = "127.0.0.1" }, []string{"--metrics", "HOST:PORT"}},
		{"a busy port for metrics", func(c *server.Config) { c.Metrics = busy.Addr().String() }, []string{"--metrics", "in use"}},
		{"upstream timeout", func(c *server.Config) { c.UpstreamTimeout = 0 }, []string{"--upstream-timeout"}},
		{"drain timeout", func(c *server.Config) { c.DrainTimeout = -1 }, []string{"--drain-timeout"}},
		{"data under a file", func(c *server.Config) { c.Store.Data = filepath.Join(file, "data") }, []string{"--data"}},
		{"upstream without scheme", func(c *server.Config) { c.Upstream = "services.azureml.net" }, []string{"--upstream", "absolute"}},
		{"upstream with a password", func(c *server.Config) { c.Upstream = "https://u:hunter2@a.example" }, []string{"--upstream", "password"}},
		{"upstream with a query", func(c *server.Config) { c.Upstream = "https://a.example/?x=1" }, []string{"--upstream", "query"}},
		{"faults of an emulator that is not there", func(c *server.Config) { c.Upstream, c.Faults.Hang = "http://a.example", true }, []string{"--fault-", "--upstream"}},
		{"a wrong fault", func(c *server.Config) { c.Faults.ErrorRate = 2 }, []string{"fault-error-rate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			tc.change(&cfg)
			_, err := server.New(cfg, testLogger(&bytes.Buffer{}))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password in an error: %v", err)
			}
		})
	}
}

func TestDataFolderIsMade(t *testing.T) {
	cfg := testConfig()
	cfg.Store.Data = filepath.Join(t.TempDir(), "a", "b")
	start(t, cfg)
	if info, err := os.Stat(cfg.Store.Data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v, want a folder of mode 0700", info, err)
	}
}

func TestReflectionByFlag(t *testing.T) {
	for _, tc := range []struct {
		flag string
		want bool
	}{{"auto", true}, {"on", true}, {"off", false}} {
		cfg := testConfig()
		cfg.Reflection = tc.flag
		stream, err := grpc_reflection_v1.NewServerReflectionClient(dial(t, start(t, cfg))).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
		resp, err := stream.Recv()
		if tc.want != (err == nil) {
			t.Errorf("%s: %v", tc.flag, err)
		}
		if tc.want && !strings.Contains(resp.String(), "amlgate.v1.ScoringService") {
			t.Errorf("%s: %v", tc.flag, resp)
		}
	}
}

func TestUnknownRPC(t *testing.T) {
	err := dial(t, start(t, testConfig())).Invoke(t.Context(), "/amlgate.v1.ScoringService/Nope", &v1.ExecuteRequest{}, &v1.ExecuteResponse{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "no such RPC") {
		t.Errorf("%v", err)
	}
}

// holding is an upstream that holds each call until it is let go, and says when one has come or was given up.
type holding struct {
	url             string
	came, gone, let chan struct{}
}

func newHolding(t *testing.T) *holding {
	h := &holding{came: make(chan struct{}, 8), gone: make(chan struct{}, 8), let: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = new(bytes.Buffer).ReadFrom(r.Body) // or the server does not watch the connection
		h.came <- struct{}{}
		select {
		case <-h.let:
			_, _ = w.Write([]byte(`{"Results":{}}`))
		case <-r.Context().Done():
			h.gone <- struct{}{}
		}
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	h.url = "http://" + l.Addr().String()
	return h
}

var scoreNothing = &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: []byte("{}")}}

func TestCancellationReachesTheUpstream(t *testing.T) {
	h := newHolding(t)
	cfg := testConfig()
	cfg.Upstream = h.url
	srv := start(t, cfg)

	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(ctx, scoreNothing)
		failed <- err
	}()
	<-h.came
	cancel()
	<-h.gone
	if err := <-failed; status.Code(err) != codes.Canceled {
		t.Errorf("gRPC: %v", err)
	}

	c := connect(t, srv)
	_, _ = c.Write(append(post(2), "{}"...))
	<-h.came
	_ = c.Close()
	<-h.gone

	// A deadline, given over REST.
	c = connect(t, srv)
	resp, body := c.exchange(t, wire("POST "+execute+" HTTP/1.1\nHost: a\nGrpc-Timeout: 50m\nContent-Length: auto\n\n{}"))
	<-h.gone
	if d := envelope(t, resp, body); resp.StatusCode != 504 || d.Code != "BackendScoreTimeout" {
		t.Errorf("deadline over REST: %s %+v", resp.Status, d)
	}
}

// running is a server that the test stops itself.
func running(t *testing.T, cfg server.Config) (srv *server.Server, stop context.CancelFunc, ended chan error) {
	t.Helper()
	srv, err := server.New(cfg, testLogger(&bytes.Buffer{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	ended = make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	return srv, stop, ended
}

// waitNotServing returns once the health service has said NOT_SERVING.
func waitNotServing(t *testing.T, watch grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse]) {
	t.Helper()
	for {
		resp, err := watch.Recv()
		if err != nil {
			t.Fatalf("health: %v", err)
		}
		if resp.GetStatus() == grpc_health_v1.HealthCheckResponse_NOT_SERVING {
			return
		}
	}
}

// awaitReady waits until the journal is read, before which a service is not ready.
func awaitReady(t *testing.T, c *connection) {
	t.Helper()
	for ready := false; !ready; {
		resp, _ := c.exchange(t, wire("GET /readyz HTTP/1.1\nHost: a\n\n"))
		ready = resp.StatusCode == 200
	}
}

func TestDrainLetsCallsFinish(t *testing.T) {
	h := newHolding(t)
	cfg := testConfig()
	cfg.Upstream = h.url
	srv, stop, ended := running(t, cfg)
	client := dial(t, srv)
	healthCtx, endWatch := context.WithCancel(t.Context())
	watch, err := grpc_health_v1.NewHealthClient(client).Watch(healthCtx, &grpc_health_v1.HealthCheckRequest{Service: "amlgate.v1.ScoringService"})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("%v %v", first, err)
	}
	probe := connect(t, srv) // open before the listeners close
	awaitReady(t, probe)

	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := v1.NewScoringServiceClient(client).Execute(t.Context(), scoreNothing); err != nil {
			t.Errorf("gRPC in flight: %v", err)
		}
	})
	rest := connect(t, srv)
	calls.Go(func() {
		if resp, body := rest.exchange(t, append(post(2), "{}"...)); resp.StatusCode != 200 {
			t.Errorf("REST in flight: %s %s", resp.Status, body)
		}
	})
	<-h.came
	<-h.came
	stop()
	waitNotServing(t, watch)
	endWatch()
	select {
	case err := <-ended:
		t.Fatalf("stopped with calls in flight: %v", err)
	default:
	}
	close(h.let)
	calls.Wait()
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	if c, err := net.Dial("tcp", srv.HTTPAddr()); err == nil {
		_ = c.Close()
		t.Error("still listening")
	}
}

func TestDrainCutsAfterItsTimeout(t *testing.T) {
	h := newHolding(t)
	cfg := testConfig()
	cfg.Upstream, cfg.DrainTimeout = h.url, 10*time.Millisecond
	srv, stop, ended := running(t, cfg)
	failed := make(chan error, 1)
	go func() {
		_, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(context.Background(), scoreNothing)
		failed <- err
	}()
	<-h.came
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "--drain-timeout") {
		t.Errorf("stop: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the call was answered")
	}
}

func TestTwoCredentialsOverGRPC(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer a", "authorization", "Bearer b")
	_, err := v1.NewScoringServiceClient(dial(t, start(t, testConfig()))).Execute(ctx, scoreNothing)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "authorization: given 2 times") {
		t.Errorf("%v", err)
	}
}

package server_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

var counted = regexp.MustCompile(`(?m)^amlgate_calls_total\{.*$`)

// TestMetricsCountCalls counts calls of both surfaces by route and code, and repeats nothing that a caller invented.
func TestMetricsCountCalls(t *testing.T) {
	cfg := testConfig()
	cfg.Upstream, cfg.Metrics = newScriptedUpstream(t, okScript).url(), "127.0.0.1:0"
	srv := start(t, cfg)
	c := connect(t, srv)
	for _, line := range []string{
		"POST " + execute, "POST /workspaces/hunter2/services/s2/execute", "POST " + execute + "?hunter2=1", "POST " + execute + "?subscription-key=hunter2",
		"POST /hunter2", "BREW /hunter2", "HUNTER2 " + execute, "GET /healthz",
	} {
		c.exchange(t, wire(line+" HTTP/1.1\nHost: a\nAuthorization: Bearer hunter2\nx-ms-client-request-id: hunter2\nContent-Length: auto\n\n{}"))
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer hunter2", "x-ms-client-request-id", "hunter2")
	conn := dial(t, srv)
	client := v1.NewScoringServiceClient(conn)
	for range 2 {
		if _, err := client.Execute(ctx, scoreNothing); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = client.Execute(ctx, &v1.ExecuteRequest{Workspace: "hunter2", Service: "?"})
	_ = conn.Invoke(ctx, "/hunter2.Service/Nope", scoreNothing, &v1.ExecuteResponse{})
	_ = conn.Invoke(ctx, "/amlgate.v1.ScoringService/hunter2", scoreNothing, &v1.ExecuteResponse{})
	_ = conn.Invoke(ctx, "/grpc.health.v1.Health/hunter2", scoreNothing, &v1.ExecuteResponse{})
	_ = conn.Close()

	const route = service + "/execute"
	want := []string{
		`amlgate_calls_total{code="InvalidArgument",route="/amlgate.v1.ScoringService/Execute",surface="grpc"} 1`,
		`amlgate_calls_total{code="InvalidArgument",route="POST ` + route + `",surface="rest"} 1`,
		`amlgate_calls_total{code="NotFound",route="OTHER unknown",surface="rest"} 1`,
		`amlgate_calls_total{code="NotFound",route="POST unknown",surface="rest"} 1`,
		`amlgate_calls_total{code="OK",route="/amlgate.v1.ScoringService/Execute",surface="grpc"} 2`,
		`amlgate_calls_total{code="OK",route="GET /healthz",surface="rest"} 1`,
		`amlgate_calls_total{code="OK",route="POST ` + route + `",surface="rest"} 3`,
		`amlgate_calls_total{code="Unimplemented",route="OTHER ` + route + `",surface="rest"} 1`,
		`amlgate_calls_total{code="Unimplemented",route="unknown",surface="grpc"} 3`,
	}
	waitNothingHeld(t, srv)
	text := scrape(t, srv)
	for range 100_000 { // a call is counted a moment after its answer is read
		if slices.Equal(counted.FindAllString(text, -1), want) {
			break
		}
		if strings.Contains(text, "hunter2") {
			break
		}
		text = scrape(t, srv)
	}
	if got := counted.FindAllString(text, -1); !slices.Equal(got, want) {
		t.Errorf("/metrics tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(text, "hunter2") {
		t.Error("/metrics repeats what a caller sent")
	}
	for _, name := range []string{"amlgate_call_duration_seconds_count", "amlgate_upstream_duration_seconds_count", "amlgate_in_flight_limit_bytes", "amlgate_watches 0", "go_goroutines"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("/metrics does not tell %s", name)
		}
	}
}

const service = "/workspaces/{workspace}/services/{service}"

// TestProfilesOnLoopbackOnly: profiles tell much about a process, so another machine does not get them.
func TestProfilesOnLoopbackOnly(t *testing.T) {
	for addr, want := range map[string]int{"127.0.0.1:0": http.StatusOK, "0.0.0.0:0": http.StatusNotFound} {
		cfg := testConfig()
		cfg.Metrics = addr
		srv := start(t, cfg)
		for path, want := range map[string]int{"/debug/pprof/": want, "/debug/pprof/heap?debug=1": want, "/metrics": http.StatusOK, "/": http.StatusNotFound} {
			if got := statusOf(t, srv, path); got != want {
				t.Errorf("%s on %s: %d, want %d", path, addr, got, want)
			}
		}
	}
}

func statusOf(t *testing.T, srv *server.Server, path string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, port, _ := strings.Cut(strings.ReplaceAll(srv.MetricsAddr(), "[::]", ""), ":")
	resp, err := client.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

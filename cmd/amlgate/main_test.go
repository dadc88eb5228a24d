package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amlgate/amlgate/server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"amlgate": main, "nats": natsMain})
}

// TestScripts runs testdata/*.txtar, each with a service of its own at $ADDRESS (gRPC) and $URL (REST).
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			srv, err := server.New(server.Config{
				HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Blob: "127.0.0.1:0", Reflection: "auto",
				MaxBody: 4 << 20, MaxAnswer: 64 << 20, UpstreamTimeout: time.Minute, DrainTimeout: time.Second,
			}, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- srv.Run(ctx) }()
			env.Defer(func() {
				stop()
				if err := <-ended; err != nil {
					t.Errorf("the service did not stop well: %v", err)
				}
			})
			env.Setenv("ADDRESS", srv.GRPCAddr())
			env.Setenv("URL", "http://"+srv.HTTPAddr())
			env.Setenv("AMLGATE_STORAGE", strings.ReplaceAll(devStorage, "127.0.0.1:10000", srv.BlobAddr()))
			return nil
		},
	})
}

// startProgram starts the program itself and waits until it says that it is ready; it returns that line.
func startProgram(t *testing.T, args ...string) (*exec.Cmd, string, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "amlgate" // by which testscript.Main knows what to be
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	r := bufio.NewReader(stderr)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended: %q %v", line, err)
		}
		if strings.Contains(line, "msg=ready") {
			return cmd, line, r
		}
	}
}

// TestServeStopsOnSIGTERM runs "amlgate serve" as a process of its own, scores and stops it.
func TestServeStopsOnSIGTERM(t *testing.T) {
	cmd, ready, stderr := startProgram(t, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--blob", "127.0.0.1:0")
	url := regexp.MustCompile(`rest=(\S+)`).FindStringSubmatch(ready)[1]
	body := `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}`
	req, err := http.NewRequest(http.MethodPost, url+"/workspaces/demo/services/feature-hashing/execute?api-version=2.0&details=true", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer demo-key")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), `["This is a good day","1","1","2","2","0","2","0","1"]`) {
		t.Errorf("%s %s", resp.Status, answer)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stderr)
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, rest)
	}
	if !strings.Contains(string(rest), "msg=stopped") || strings.Contains(string(rest), "demo-key") {
		t.Errorf("the log ends %s", rest)
	}
}

// TestEmulatorServesAnUpstream runs "amlgate emulator" and a service in front of it.
func TestEmulatorServesAnUpstream(t *testing.T) {
	_, ready, _ := startProgram(t, "emulator", "--http", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--key", "another-key")
	url := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(ready)[1]
	cmd, ready, _ := startProgram(t, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--upstream", url)
	address := regexp.MustCompile(`grpc=(\S+)`).FindStringSubmatch(ready)[1]
	var out, errs strings.Builder
	code := run([]string{"execute", "--address", address, "--key", "another-key", "--workspace", "demo", "--service", "feature-hashing", "--input", "-", "--output", "csv"},
		strings.NewReader("Col2\nThis is a good day\n"), &out, &errs)
	if code != 0 || !strings.HasSuffix(out.String(), "\nThis is a good day,1,1,2,2,0,2,0,1\n") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

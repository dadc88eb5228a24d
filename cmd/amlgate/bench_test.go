package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server"
)

const benchInput = "Col2\nThis is a good day\n"

// benchJSON runs "amlgate bench" with --format json and returns its report.
func benchJSON(t *testing.T, args ...string) benchReport {
	t.Helper()
	args = append([]string{"bench", "--workspace", "demo", "--service", "feature-hashing", "--key", "demo-key", "--input", "-", "--format", "json", "--warmup", "0s"}, args...)
	var out, errs strings.Builder
	if code := run(args, strings.NewReader(benchInput), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out.String(), errs.String())
	}
	var r benchReport
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBenchEndsWithAReport interrupts a load without end.
func TestBenchEndsWithAReport(t *testing.T) {
	serving, ready, _ := startProgram(t, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--blob", "127.0.0.1:0")
	url := regexp.MustCompile(`rest=(\S+)`).FindStringSubmatch(ready)[1]
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "bench", "--url", url, "--workspace", "demo", "--service", "feature-hashing", "--key", "demo-key",
		"--input", "-", "--warmup", "0s", "--duration", "1h", "--progress", "--pid", strconv.Itoa(serving.Process.Pid))
	cmd.Args[0] = "amlgate"
	cmd.Stdin = strings.NewReader(benchInput)
	var out strings.Builder
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	progress := bufio.NewReader(stderr)
	line, _ := progress.ReadString('\n')
	if !regexp.MustCompile(`^ +1 s  \d+ calls, \d+/s, p50 \d+(\.\d+)? ms, p99 \d+(\.\d+)? ms, 0 failed\n$`).MatchString(line) {
		t.Errorf("progress is %q", line)
	}
	cmd.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, progress)
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if !regexp.MustCompile(`(?s)\ncalls +\d+ in .*\nCPU +\d+\.\d us a call\nmemory +\d+\.\d MiB resident at most\n`).MatchString(out.String()) {
		t.Errorf("the report is\n%s", out.String())
	}
}

// TestBenchOverTLS holds --tls-ca on both surfaces.
func TestBenchOverTLS(t *testing.T) {
	lent := httptest.NewTLSServer(nil) // for its certificate
	lent.Close()
	dir := t.TempDir()
	private, err := x509.MarshalPKCS8PrivateKey(lent.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: lent.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := server.New(server.Config{
		HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Blob: "127.0.0.1:0", Reflection: "auto", TLSCert: cert, TLSKey: key,
		MaxBody: 4 << 20, MaxAnswer: 64 << 20, UpstreamTimeout: time.Minute, DrainTimeout: time.Second,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, where := range [][]string{{"--url", "https://" + srv.HTTPAddr()}, {"--grpc", srv.GRPCAddr()}} {
		if r := benchJSON(t, append(where, "--tls-ca", cert, "--requests", "5")...); r.Good != 5 {
			t.Errorf("%v: %+v", where, r)
		}
	}
	var out strings.Builder
	args := []string{"bench", "--url", "https://" + srv.HTTPAddr(), "--workspace", "w", "--service", "s", "--requests", "1", "--warmup", "0s"}
	if code := run(args, nil, &out, io.Discard); code != 1 || !strings.Contains(out.String(), "1 x certificate: ") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// TestBenchSaysThatTheTargetDidNotKeepUp has a service that does not answer.
func TestBenchSaysThatTheTargetDidNotKeepUp(t *testing.T) {
	release := make(chan struct{})
	stalled := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer stalled.Close()
	defer close(release)
	var out strings.Builder
	args := []string{"bench", "--url", stalled.URL, "--workspace", "w", "--service", "s", "--rate", "1000", "--concurrency", "1", "--duration", "20ms", "--warmup", "0s", "--timeout", "30ms"}
	if code := run(args, nil, &out, io.Discard); code != 1 {
		t.Errorf("exit %d although nothing was answered", code)
	}
	if !regexp.MustCompile(`(?m)^not kept up \d+ calls were due and not sent when the time was up, \d+(\.\d+)? ms late at most: 1 calls at a time were under way$`).MatchString(out.String()) {
		t.Errorf("the report is\n%s", out.String())
	}
}

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptedJobRunResumes interrupts a job's run while the job is under way, and goes on as it was told to.
func TestInterruptedJobRunResumes(t *testing.T) {
	serve, ready, _ := startProgram(t, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--blob", "127.0.0.1:0", "--fault-job-run", "4s")
	address := regexp.MustCompile(`grpc=(\S+)`).FindStringSubmatch(ready)[1]
	blobs := regexp.MustCompile(`blob=(\S+)`).FindStringSubmatch(ready)[1]
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte("Col2\nThis is a good day\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AMLGATE_KEY", "demo-key")
	t.Setenv("AMLGATE_STORAGE", strings.ReplaceAll(devStorage, "127.0.0.1:10000", blobs))
	t.Setenv("AMLGATE_ADDRESS", address)

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "job", "run", "--workspace", "demo", "--service", "feature-hashing", "--input", in, "--output", out)
	cmd.Args[0] = "amlgate"
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stderr)
	for line := ""; !strings.Contains(line, " is running"); {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatalf("it ended: %q %v", line, err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(r)
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted run ended well")
	}
	resume := regexp.MustCompile(`amlgate (job run .*--resume \S+)\n`).FindStringSubmatch(string(rest))
	if resume == nil {
		t.Fatalf("it does not say how to go on: %s", rest)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an output was written")
	}
	var said, errs strings.Builder
	if code := run(strings.Fields(resume[1]), strings.NewReader(""), &said, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if got, _ := os.ReadFile(out); !strings.HasSuffix(string(got), "\nThis is a good day,1,1,2,2,0,2,0,1\n") {
		t.Errorf("the result: %s", got)
	}
	_ = serve.Process.Signal(syscall.SIGTERM)
	if err := serve.Wait(); err != nil {
		t.Error(err)
	}
}

package load

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// startCat starts a process that waits for the test's end, and returns its pid.
func startCat(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Write([]byte("x")) // once it comes back the process is running
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// TestChildrenCount: a process's children belong to it, as nginx's workers do to their master.
func TestChildrenCount(t *testing.T) {
	self := os.Getpid()
	pid := startCat(t)
	if !slices.Contains(children(self), pid) {
		t.Errorf("%d is not among this process's children", pid)
	}
	child, err := RSS([]int{pid})
	if err != nil || child <= 0 {
		t.Fatalf("%d bytes, %v", child, err)
	}
	own, err := readProcess(self)
	if err != nil {
		t.Fatal(err)
	}
	all, err := RSS([]int{self})
	if err != nil || all < own.rss/2+child {
		t.Errorf("%d bytes with a child of %d, alone %d; %v", all, child, own.rss, err)
	}
}

// TestCPUTime burns CPU until the kernel has counted some, and compares it with the runtime's own count.
func TestCPUTime(t *testing.T) {
	before, err := readUsage([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	for sum, deadline := 0, time.Now().Add(time.Minute); ; sum++ {
		if sum%1_000_000 != 0 {
			continue
		}
		after, err := readUsage([]int{os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		if spent := after.cpu - before.cpu; spent >= 50*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a minute of work is no CPU time")
		}
	}
}

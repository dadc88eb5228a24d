package load

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// startCat starts a shell with a child, which both wait for the test's end, and returns its pid.
func startCat(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sh", "-c", "cat; :")
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
	pid := startCat(t)
	cats := children(pid)
	if len(cats) != 1 {
		t.Fatalf("the shell's children are %v", cats)
	}
	shell, err := readProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := readProcess(cats[0])
	if err != nil {
		t.Fatal(err)
	}
	// Both wait for input, so nothing changes meanwhile.
	if all, err := RSS([]int{pid}); err != nil || cat.rss <= 0 || all != shell.rss+cat.rss {
		t.Errorf("%d bytes, alone %d, the child %d; %v", all, shell.rss, cat.rss, err)
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

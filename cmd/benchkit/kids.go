package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kids are the processes that the command started. Each is ended by its own pid; should the command be killed, they end
// with it (endWith, and endWithParent in the roles).
type kids struct {
	dir  string // their files, gone with them
	self string
	all  []*kid
}

// kid is one process.
type kid struct {
	name    string
	address string // HTTP, host and port
	grpc    string // gRPC, host and port; amlgate only
	cmd     *exec.Cmd
	stdin   io.Closer
	output  string // file that standard output and error go to
	ended   chan struct{}
}

func newKids() (*kids, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "benchkit-")
	if err != nil {
		return nil, err
	}
	// nginx's workers run as another user where the command runs as root.
	return &kids{dir: dir, self: self}, os.Chmod(dir, 0o755)
}

// start starts a program. Its output goes to a file in the folder.
func (k *kids) start(name string, env []string, program string, args ...string) (*kid, error) {
	n := &kid{name: name, output: filepath.Join(k.dir, name+".log"), ended: make(chan struct{})}
	out, err := os.Create(n.output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the process has its own
	n.cmd = exec.Command(program, args...)
	n.cmd.Stdout, n.cmd.Stderr = out, out
	n.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "AMLGATE_") }), env...)
	endWith(n.cmd)
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	k.all = append(k.all, n)
	return n, nil
}

// startRole starts the command itself as one of its roles.
func (k *kids) startRole(name, role string, args ...string) (*kid, error) {
	n, err := k.start(name, nil, k.self, append([]string{role}, args...)...)
	if err != nil {
		return nil, err
	}
	return n, n.await(func(out string) bool {
		line, _, whole := strings.Cut(out, "\n")
		n.address = line
		return whole
	})
}

var readyLine = regexp.MustCompile(`msg=ready rest=http://(\S+) grpc=(\S+)`)

// startAmlgate starts an amlgate in front of an upstream. Its access log goes to a file, as it would in production.
func (k *kids) startAmlgate(name, program, upstream, ca, flags string) (*kid, error) {
	var env []string
	if ca != "" {
		env = []string{"SSL_CERT_FILE=" + ca}
	}
	args := []string{"serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--upstream", upstream}
	n, err := k.start(name, env, program, append(args, strings.Fields(flags)...)...)
	if err != nil {
		return nil, err
	}
	return n, n.await(func(out string) bool {
		m := readyLine.FindStringSubmatch(out)
		if m != nil {
			n.address, n.grpc = m[1], m[2]
		}
		return m != nil
	})
}

// await waits until ready says that the process's output is that of one that is ready.
func (n *kid) await(ready func(output string) bool) error {
	for range 2000 {
		out, err := os.ReadFile(n.output)
		if err != nil {
			return err
		}
		if ready(string(out)) {
			return nil
		}
		select {
		case <-n.ended:
			out, _ = os.ReadFile(n.output) // it may have said why since
			return fmt.Errorf("%s ended: %s", n.name, out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after 20 s", n.name)
}

// end ends a process and waits for it.
func (n *kid) end() error {
	_ = n.stdin.Close()
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-n.ended:
		return nil
	case <-time.After(10 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.ended
		return fmt.Errorf("%s did not end on SIGTERM", n.name)
	}
}

// stop ends all processes and removes their files.
func (k *kids) stop() error {
	var failed []error
	for _, n := range slices.Backward(k.all) {
		failed = append(failed, n.end())
	}
	return errors.Join(append(failed, os.RemoveAll(k.dir))...)
}

// endWithParent ends a role when its standard input does, which is when the command has ended, however it did.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// process is a process of the proofs: the program itself, or a NATS server. It ends with the test that started it, and,
// where the system has a way, with the test binary.
type process struct {
	name  string
	cmd   *exec.Cmd
	out   *output
	ended chan struct{}
}

// output keeps the end of what a process writes, and its line that says where it listens.
type output struct {
	mu     sync.Mutex
	tail   []byte
	line   string        // the one with msg=ready
	ready  chan struct{} // closed when it is there
	search []byte        // what may hold it, until then
}

const keptOutput = 8 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, b...)
	if n := len(o.tail) - keptOutput; n > 0 {
		o.tail = slices.Delete(o.tail, 0, n)
	}
	if o.line != "" {
		return len(b), nil
	}
	o.search = append(o.search, b...)
	if at := bytes.Index(o.search, []byte("msg=ready")); at >= 0 {
		if n := bytes.IndexByte(o.search[at:], '\n'); n >= 0 {
			o.line, o.search = string(o.search[at:at+n]), nil
			close(o.ready)
		}
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}

// launch starts this binary as one of the commands that TestMain names, and waits until it says that it is ready. None of
// the caller's own settings gets in.
func launch(t *testing.T, name, command string, args ...string) (*process, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self, args...), out: &output{ready: make(chan struct{})}, ended: make(chan struct{})}
	p.cmd.Args[0] = command
	p.cmd.Stderr = p.out
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "AMLGATE_") })
	endWith(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	select {
	case <-p.out.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("%s ended before it was ready: %s", name, p.out)
	}
}

// started is launch for a process that must come up.
func started(t *testing.T, name, command string, args ...string) *process {
	t.Helper()
	p, err := launch(t, name, command, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// says returns what the line that says ready has under a name.
func (p *process) says(name string) string {
	m := regexp.MustCompile(name + `=(\S+)`).FindStringSubmatch(p.out.line)
	if m == nil {
		return ""
	}
	return m[1]
}

// kill is kill -9. It does not wait for the end.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
}

// stop is kill, and waits.
func (p *process) stop() {
	p.kill()
	<-p.ended
}

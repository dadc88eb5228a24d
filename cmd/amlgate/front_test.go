package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// front stands before the emulator, counts what passes, and tells a hook where each request is. What passed counts as
// done whether or not the one who asked still lives: a network does not take a request back.
type front struct {
	t      *testing.T
	server *httptest.Server
	base   string // of the emulator
	hook   func(where, op string) (gone bool)
	tear   func(op string, size int) int // how many bytes of an answer to let through before its asker is killed; size for all

	mu       sync.Mutex
	inFlight int
	idle     *sync.Cond
	submits  map[string][]string // ids of the jobs made, by tag
	tags     map[string]string   // the other way
	starts   map[string]*starts  // by job id
	asks     int
}

// starts is what came of a job's starts.
type starts struct {
	came     int    // that reached the upstream
	accepted int    // that it took
	blind    int    // that came after it had taken one, from somebody whom it had not just told that the job stands still
	told     string // the state it told last since it took one
}

// newFront puts a front before an emulator.
func newFront(t *testing.T, base string) *front {
	f := &front{t: t, base: base, submits: map[string][]string{}, tags: map[string]string{}, starts: map[string]*starts{},
		hook: func(string, string) bool { return false }, tear: func(_ string, size int) int { return size }}
	f.idle = sync.NewCond(&f.mu)
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// settle waits until nothing is on its way through.
func (f *front) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.inFlight > 0 {
		f.idle.Wait()
	}
}

// The operations of the upstream, and the places that the hook is told of.
const (
	opSubmit, opStart, opStatus = "submit", "start", "status"

	atCame     = "before it goes on" // a request came from amlgate and has not reached the upstream
	atDone     = "before the answer" // the upstream has done it
	atTorn     = "within the answer" // some bytes of the answer have gone
	atAnswered = "after the answer"
)

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.inFlight++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.idle.Broadcast()
		f.mu.Unlock()
	}()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // only a part of it was sent
	}
	op, id := opStatus, strings.TrimSuffix(r.URL.Path[strings.LastIndex(r.URL.Path, "/jobs")+len("/jobs"):], "/start")
	id = strings.TrimPrefix(id, "/")
	switch {
	case id == "":
		op = opSubmit
	case strings.HasSuffix(r.URL.Path, "/start"):
		op = opStart
	}
	if f.hook(atCame, op) {
		panic(http.ErrAbortHandler)
	}
	f.arrived(op, id)
	status, header, answer, err := f.pass(r, body)
	if err != nil {
		f.t.Errorf("the emulator: %v", err)
		panic(http.ErrAbortHandler)
	}
	f.done(op, id, status, body, answer)
	if f.hook(atDone, op) {
		panic(http.ErrAbortHandler)
	}
	text := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\nContent-Type: %s\r\nConnection: close\r\n\r\n%s", status, http.StatusText(status), len(answer), header.Get("Content-Type"), answer)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	f.answer(conn, op, text)
}

// answer sends an answer, or a part of it.
func (f *front) answer(conn net.Conn, op string, text []byte) {
	n := f.tear(op, len(text))
	_, _ = conn.Write(text[:n])
	if n < len(text) {
		f.hook(atTorn, op)
		return
	}
	f.hook(atAnswered, op)
}

// pass sends a request on.
func (f *front) pass(r *http.Request, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequest(r.Method, f.base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

func (f *front) of(id string) *starts {
	s := f.starts[id]
	if s == nil {
		s = &starts{}
		f.starts[id] = s
	}
	return s
}

// arrived notes what comes to the upstream.
func (f *front) arrived(op, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch op {
	case opStart:
		s := f.of(id)
		s.came++
		if s.accepted > 0 && s.told != "NotStarted" {
			s.blind++
		}
	case opStatus:
		f.asks++
	}
}

// done notes what the upstream did.
func (f *front) done(op, id string, status int, body, answer []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case status != http.StatusOK:
	case op == opSubmit:
		var job struct {
			Outputs struct {
				Output1 struct{ RelativeLocation string }
			}
		}
		if json.Unmarshal(body, &job) != nil || json.Unmarshal(answer, &id) != nil {
			f.t.Errorf("the emulator took %s and said %s", body, answer)
			return
		}
		tag := job.Outputs.Output1.RelativeLocation
		f.submits[tag], f.tags[id] = append(f.submits[tag], id), tag
	case op == opStart:
		f.of(id).accepted++
	case op == opStatus:
		f.of(id).told = statusCode(answer)
	}
}

// statusCode is the state in the upstream's answer about a job.
func statusCode(answer []byte) string {
	var job struct{ StatusCode string }
	_ = json.Unmarshal(answer, &job)
	return job.StatusCode
}

// state asks the upstream itself about a job.
func (f *front) state(id string) string {
	req, err := http.NewRequest(http.MethodGet, f.base+"/workspaces/demo/services/feature-hashing/jobs/"+id+"?api-version=2.0", nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer demo-key")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return statusCode(answer)
}

package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/redact"
)

// testConfig is the command line's defaults, on ports of the system's choice.
func testConfig() server.Config {
	return server.Config{
		HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Blob: "127.0.0.1:0", Reflection: "auto",
		MaxBody: 4 << 20, MaxAnswer: 64 << 20, UpstreamTimeout: 110 * time.Second, DrainTimeout: 10 * time.Second,
	}
}

// testLogger writes debug lines too, redacted as the real one does.
func testLogger(w io.Writer) *slog.Logger {
	return slog.New(redact.Handler(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// wire turns a written request or answer into the bytes meant: CRLF in the head, and a Content-Length where it says
// "Content-Length: auto".
func wire(text string) []byte {
	head, body, _ := strings.Cut(text, "\n\n")
	head = strings.Replace(head, "Content-Length: auto", "Content-Length: "+strconv.Itoa(len(body)), 1)
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)
}

// scriptedUpstream answers every request with the same bytes and keeps what it was asked. The first line of the script
// may be a fault: "!refuse" (nobody listens), "!hang" (no answer), "!cut N" (the connection ends N bytes before the
// answer's end), "!gzip" (the body is packed first).
type scriptedUpstream struct {
	listener net.Listener
	script   string

	mu       sync.Mutex
	requests []string
}

func newScriptedUpstream(t *testing.T, script string) *scriptedUpstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &scriptedUpstream{listener: l, script: script}
	if script == "!refuse" {
		_ = l.Close()
		return u
	}
	done := make(chan struct{})
	var handlers sync.WaitGroup
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() { u.serve(conn, done) })
		}
	}()
	t.Cleanup(func() {
		close(done)
		_ = l.Close()
		handlers.Wait()
	})
	return u
}

func (u *scriptedUpstream) url() string { return "http://" + u.listener.Addr().String() }

func (u *scriptedUpstream) serve(conn net.Conn, done chan struct{}) {
	defer conn.Close()
	go func() { // ends an idle wait
		<-done
		_ = conn.Close()
	}()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		u.note(req, body)
		fault, script := "", u.script
		if strings.HasPrefix(script, "!") {
			fault, script, _ = strings.Cut(script, "\n")
		}
		if fault == "!hang" {
			<-done
			return
		}
		if fault == "!gzip" {
			head, body, _ := strings.Cut(script, "\n\n")
			script = head + "\n\n" + string(packed([]byte(body)))
		}
		answer := wire(script)
		if n, ok := strings.CutPrefix(fault, "!cut "); ok {
			less, _ := strconv.Atoi(n)
			_, _ = conn.Write(answer[:len(answer)-less])
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// note keeps a request as a story writes it: its line, the headers that say something, its body.
func (u *scriptedUpstream) note(req *http.Request, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", req.Method, req.RequestURI)
	for _, name := range []string{"Accept", "Accept-Encoding", "Authorization", "Azureml-Model-Deployment", "Content-Encoding", "Content-Type",
		"Cookie", "Forwarded", "Grpc-Metadata-Authorization", "Ocp-Apim-Subscription-Key", "Traceparent", "X-Forwarded-For", "X-Forwarded-Host"} {
		if v := req.Header.Values(name); len(v) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(v, ", "))
		}
	}
	fmt.Fprintf(&b, "\n%s", printable(body))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = append(u.requests, b.String())
}

func (u *scriptedUpstream) asked() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

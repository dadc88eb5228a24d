package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var scoring = Call{Workspace: "w 1", Service: "s1", Key: "key-1", Header: map[string]string{"X-Extra": "yes"}, Timeout: time.Minute}

// overREST makes calls at a handler, one after the other, and returns the report.
func overREST(t *testing.T, handler http.HandlerFunc, calls int) *Report {
	t.Helper()
	srv := httptest.NewServer(handler)
	defer srv.Close()
	target, err := NewREST(srv.URL+"/base", scoring, []byte(`{"a":1}`), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	return mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: calls}, nil)
}

func TestRESTSendsWhatAClientSends(t *testing.T) {
	remotes := map[string]int{}
	r := overREST(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr]++
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/base/workspaces/w 1/services/s1/execute" || r.URL.RawQuery != "api-version=2.0&details=true" ||
			r.Header.Get("Authorization") != "Bearer key-1" || r.Header.Get("X-Extra") != "yes" || r.Header.Get("Content-Type") != "application/json" ||
			r.ContentLength != 7 || string(body) != `{"a":1}` {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, body)
		}
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, `{"Results":{}}`)
	}, 3)
	if r.Good != 3 || r.Sent != 21 || r.Received != 42 || len(remotes) != 1 {
		t.Errorf("%+v over %d connections", r, len(remotes))
	}
}

func TestRESTAnswers(t *testing.T) {
	long := `{"Results":"` + strings.Repeat("x", 100_000) + `"}`
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		failure string
		detail  string
		wrong   bool
	}{
		"chunked":     {handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long) }},
		"mark first":  {handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "\xef\xbb\xbf{} ") }},
		"cut off":     {func(w http.ResponseWriter, r *http.Request) { cut(w, r, "Content-Length: 100\r\n\r\n{}") }, "not whole", "EOF", true},
		"chunk cut":   {func(w http.ResponseWriter, r *http.Request) { cut(w, r, "Transfer-Encoding: chunked\r\n\r\n5\r\n{") }, "not whole", "EOF", true},
		"half JSON":   {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Results":`) }, "wrong answer", "no whole JSON object", true},
		"a list":      {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[]`) }, "wrong answer", "no whole JSON object", true},
		"empty":       {func(w http.ResponseWriter, _ *http.Request) {}, "wrong answer", "empty", true},
		"refused":     {refuse(401, `{"error":{"code":"Unauthorized","message":"m","details":[{"code":"BadKey","message":"Not valid."}]}}`), "HTTP 401", "BadKey: Not valid.", false},
		"no details":  {refuse(429, `{"error":{"code":"TooMany","message":"later"}}`), "HTTP 429", "TooMany: later", false},
		"other words": {refuse(502, `<html>`), "HTTP 502", "", false},
		"no answer":   {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "connection closed", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := overREST(t, c.handler, 2)
			switch {
			case c.failure == "" && r.Good != 2:
				t.Errorf("%+v", r)
			case c.failure != "" && (len(r.Failures) != 1 || r.Failures[0].Kind != c.failure || r.Failures[0].Count != 2 || !strings.Contains(r.Failures[0].Detail, c.detail)):
				t.Errorf("%+v", r.Failures)
			case r.Wrong != map[bool]int{true: 2}[c.wrong]:
				t.Errorf("%d wrong answers", r.Wrong)
			}
		})
	}
}

// cut answers with the head's rest as given and closes the connection.
func cut(w http.ResponseWriter, r *http.Request, rest string) {
	io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+rest)
}

func refuse(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// TestEveryAnswerIsChecked: that the first was good does not make the others good, and good ones may differ.
func TestEveryAnswerIsChecked(t *testing.T) {
	var n atomic.Int64
	r := overREST(t, func(w http.ResponseWriter, _ *http.Request) {
		i := n.Add(1)
		if i == 3 {
			io.WriteString(w, `{"n":3]`)
			return
		}
		fmt.Fprintf(w, `{"n":%d}`, i/2)
	}, 6)
	if r.Good != 5 || r.Wrong != 1 {
		t.Errorf("%+v", r)
	}
}

// TestAnEarlyRefusalIsRead: a service may refuse a body that it has not read.
func TestAnEarlyRefusalIsRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.ReadFull(conn, make([]byte, 100))
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, conn)
	}()
	target, err := NewREST("http://"+listener.Addr().String(), scoring, make([]byte, 100_000), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: 1}, nil)
	if len(r.Failures) != 1 || r.Failures[0].Kind != "HTTP 413" {
		t.Errorf("%+v", r.Failures)
	}
}

// TestNobodyThere: each way of not being answered has its own name.
func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	impatient := scoring
	impatient.Timeout = 20 * time.Millisecond
	check := func(base, want string) {
		t.Helper()
		target, err := NewREST(base, impatient, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: 1}, nil)
		if len(r.Failures) != 1 || r.Failures[0].Kind != want {
			t.Errorf("%s: %+v, want %s", base, r.Failures, want)
		}
	}
	check("http://"+listener.Addr().String(), "timeout")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	check("http://"+gone.Addr().String(), "connection refused")
}

// TestAbort: the end of the context ends a call that waits for its answer.
func TestAbort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-released
	}))
	defer srv.Close()
	defer close(released)
	target, err := NewREST(srv.URL, scoring, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := mustRun(t, ctx, target, Plan{Concurrency: 2, Duration: time.Hour}, nil)
	if r.Unfinished == 0 || r.Calls != 0 {
		t.Errorf("%+v", r)
	}
}

func TestRESTOverTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	trusting := scoring
	trusting.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trusting.TLS.RootCAs.AddCert(srv.Certificate())
	for want, call := range map[string]Call{"": trusting, "certificate": scoring} {
		target, err := NewREST(srv.URL, call, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := mustRun(t, t.Context(), target, Plan{Concurrency: 1, Requests: 2}, nil)
		target.Close()
		if want == "" && r.Good != 2 || want != "" && (len(r.Failures) != 1 || r.Failures[0].Kind != want) {
			t.Errorf("want %q: %+v", want, r)
		}
	}
}

func TestBaseURLs(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://host", "http://", "http://host:port/%zz"} {
		if _, err := NewREST(base, scoring, nil, 1); err == nil {
			t.Errorf("%q is taken", base)
		}
	}
	bad := scoring
	bad.Key = "line\nbreak"
	if _, err := NewREST("http://127.0.0.1", bad, nil, 1); err == nil || strings.Contains(err.Error(), "break") {
		t.Errorf("a key that no header can carry: %v", err)
	}
}

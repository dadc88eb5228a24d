package azureml_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// wantAsked asserts that the upstream was asked once, and how: lines end with LF here.
func wantAsked(t *testing.T, up *upstream, want string) {
	t.Helper()
	requests, _ := up.asked()
	if len(requests) != 1 {
		t.Fatalf("the upstream was asked %d times, want once: %q", len(requests), requests)
	}
	wantText(t, "the request", requests[0], strings.ReplaceAll(want, "\n", "\r\n"))
}

// Requests to the byte.
func TestExecuteRequests(t *testing.T) {
	const key = "Bearer c2VjcmV0=="
	for _, tc := range []struct {
		name, base string // base is behind the upstream's address
		request    azureml.Request
		want       string
	}{
		{"as little as can be", "", azureml.Request{Workspace: "w", Service: "s", Body: []byte(`{"Inputs": {}}`)},
			"POST /workspaces/w/services/s/execute?api-version=2.0&details=false HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 14\nContent-Type: application/json\n\n{\"Inputs\": {}}"},
		{"with details", "", azureml.Request{Workspace: "a1.b_c-D", Service: "0", Details: true, Header: http.Header{"Authorization": {key}}, Body: []byte(`x`)},
			"POST /workspaces/a1.b_c-D/services/0/execute?api-version=2.0&details=true HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 1\nAuthorization: " + key + "\nContent-Type: application/json\n\nx"},
		{"as swagger", "/", azureml.Request{Workspace: "w", Service: "s", Swagger: true, Body: []byte(`{}`)},
			"POST /workspaces/w/services/s/execute?api-version=2.0&details=false&format=swagger HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 2\nContent-Type: application/json\n\n{}"},
		{"as swagger with details, below a path", "/a%2Fb/c//", azureml.Request{Workspace: "w", Service: "s", Details: true, Swagger: true, Body: []byte(`{}`)},
			"POST /a%2Fb/c/workspaces/w/services/s/execute?api-version=2.0&details=true&format=swagger HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 2\nContent-Type: application/json\n\n{}"},
		{"without a body", "", azureml.Request{Workspace: "w", Service: "s", Header: http.Header{"Content-Type": {"text/json"}}},
			"POST /workspaces/w/services/s/execute?api-version=2.0&details=false HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 0\nContent-Type: text/json\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := answering(t, okHead, okBody)
			c := newClient(t, azureml.Options{BaseURL: "http://" + up.addr + tc.base})
			answer, err := c.Execute(t.Context(), &tc.request)
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, "the answer", string(answer.Body), okBody)
			wantAsked(t, up, tc.want)
		})
	}
}

// A service's description is fetched with the caller's key, which classic does not ask for and a proxy may, and without
// what belongs to a body.
func TestSwaggerRequest(t *testing.T) {
	up := answering(t, okHead, `{"swagger":"2.0"}`)
	answer, err := up.client(t).Swagger(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Details: true, Swagger: true, Body: []byte("not sent"), Header: http.Header{
		"Authorization": {"Bearer k"}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}, "Accept": {"*/*"}}})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the answer", string(answer.Body), `{"swagger":"2.0"}`)
	wantAsked(t, up, "GET /workspaces/w/services/s/swagger.json HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nAccept: */*\nAuthorization: Bearer k\n\n")
}

// Of a caller's header only what AzureML knows goes upstream, whatever else is there.
func TestRequestHeaders(t *testing.T) {
	up := answering(t, okHead, okBody)
	header := http.Header{}
	for name, value := range map[string]string{
		"Authorization": "Bearer k", "Content-Type": "application/json; charset=us-ascii", "Accept": "application/json", "Accept-Encoding": "gzip", "x-ms-client-request-id": "id-1",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "azureml-model-deployment": "blue", "Content-Encoding": "gzip",

		"Cookie": "a=b", "Forwarded": "for=1.2.3.4", "X-Forwarded-For": "1.2.3.4", "X-Real-Ip": "1.2.3.4", "Grpc-Metadata-Authorization": "Bearer x", "Grpc-Timeout": "1S", "Host": "other", "Connection": "close",
		"User-Agent": "curl", "Ocp-Apim-Subscription-Key": "k", "Proxy-Authorization": "Basic x", "Expect": "100-continue", "X-Http-Method-Override": "DELETE", "Transfer-Encoding": "chunked", "Content-Length": "3",
		"Te": "trailers", "Upgrade": "h2c", "Idempotency-Key": "1", "X-Ms-Metaanalytics-Authorizationtoken": "k", "X-Aml-Sdk": "v", "Tracestate": "a=b", "Accept-Charset": "UTF-8", "Authorization2": "x", "Range": "bytes=0-1",
	} {
		header.Set(name, value)
	}
	if _, err := up.client(t).Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Header: header, Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	wantAsked(t, up, "POST /workspaces/w/services/s/execute?api-version=2.0&details=false HTTP/1.1\nHost: UPSTREAM\nUser-Agent: amlgate\nContent-Length: 2\n"+
		"Accept: application/json\nAccept-Encoding: gzip\nAuthorization: Bearer k\nAzureml-Model-Deployment: blue\nContent-Encoding: gzip\nContent-Type: application/json; charset=us-ascii\n"+
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nX-Ms-Client-Request-Id: id-1\n\n{}")
}

// Of an upstream's header only what AzureML's clients look at comes back.
func TestAnswerHeaders(t *testing.T) {
	up := answering(t, okHead+"\nDate: Mon, 23 Nov 2026 05:00:00 GMT\nRetry-After: 3\nx-ms-request-id: up-1\nX-MS-RUN-FUNCTION-FAILED: False\nazureml-model-deployment: blue\nazureml-model-session: a\nazureml-model-session: b\n"+
		"ms-azureml-model-error-reason: none\nServer: Microsoft-HTTPAPI/2.0\nSet-Cookie: a=b\nCookie: a=b\nForwarded: for=1\nGrpc-Metadata-X: y\nGrpc-Status: 0\nLocation: http://x\nX-Powered-By: x\nVia: 1.1 x\nX-Ms: y\n"+
		"Access-Control-Allow-Origin: *\nStrict-Transport-Security: max-age=1\nKeep-Alive: timeout=5\nWWW-Authenticate: Bearer\nTrailer: X-Ms-Late", okBody)
	answer, err := execute(t, up.client(t))
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Content-Type": {"application/json"}, "Date": {"Mon, 23 Nov 2026 05:00:00 GMT"}, "Retry-After": {"3"}, "X-Ms-Request-Id": {"up-1"}, "X-Ms-Run-Function-Failed": {"False"},
		"Azureml-Model-Deployment": {"blue"}, "Azureml-Model-Session": {"a", "b"}, "Ms-Azureml-Model-Error-Reason": {"none"}}
	if d := diff(want, answer.Header); d != "" {
		t.Errorf("the answer's header differs (-want +got):\n%s", d)
	}
}

// A Content-Encoding that names a coding passes in both directions; Microsoft's Java sample sends "UTF-8" there, which
// does not.
func TestContentEncodings(t *testing.T) {
	for coding, passes := range map[string]bool{
		"gzip": true, "GZIP": true, "x-gzip": true, "deflate": true, "br": true, "zstd": true, "compress": true, "x-compress": true, "identity": true, "gzip, br": true, " gzip ,identity": true,
		"UTF-8": false, "utf-8": false, "": false, "aws-chunked": false, "gzip, UTF-8": false, "gzip,": false,
	} {
		t.Run(coding, func(t *testing.T) {
			up := answering(t, okHead+"\nContent-Encoding: "+coding, okBody)
			answer, err := up.client(t).Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Header: http.Header{"Content-Encoding": {coding}}, Body: []byte("{}")})
			if err != nil {
				t.Fatal(err)
			}
			if _, got := answer.Header["Content-Encoding"]; got != passes {
				t.Errorf("it came back: %v, want %v", got, passes)
			}
			requests, _ := up.asked()
			if got := strings.Contains(requests[0], "Content-Encoding"); got != passes {
				t.Errorf("it went upstream: %v, want %v", got, passes)
			}
		})
	}
}

// The caller's header is read and never written to.
func TestRequestHeaderIsTheCallers(t *testing.T) {
	up := answering(t, okHead, okBody)
	header := http.Header{"Content-Encoding": {"UTF-8"}, "Accept": {"a"}, "Cookie": {"b"}}
	c := up.client(t)
	request := &azureml.Request{Workspace: "w", Service: "s", Header: header, Body: []byte("{}")}
	if _, err := c.Execute(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Swagger(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if d := diff(http.Header{"Content-Encoding": {"UTF-8"}, "Accept": {"a"}, "Cookie": {"b"}}, header); d != "" {
		t.Errorf("the caller's header was changed (-want +got):\n%s", d)
	}
}

// Calls one after the other share a connection, whatever their answers were.
func TestConnectionsAreReused(t *testing.T) {
	replies := []struct{ head, body string }{
		{okHead, okBody},
		{"HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked", "e\r\n" + okBody + "\r\n0\r\n\r\n"},
		{"HTTP/1.1 400 Bad Request\nContent-Length: auto", `{"error":{}}`},
		{"HTTP/1.1 204 No Content", ""},
		{"HTTP/1.1 301 Moved Permanently\nLocation: http://127.0.0.1:1/\nContent-Length: auto", "moved"},
		{"HTTP/1.1 200 OK\nContent-Length: 0", ""},
	}
	up := newUpstream(t, func(w *wire) {
		for n := 0; w.request() != ""; n++ {
			w.reply(replies[n%len(replies)].head, replies[n%len(replies)].body)
		}
	})
	c := up.client(t)
	const calls = 120
	for range calls {
		_, _ = execute(t, c)
	}
	if requests, conns := up.asked(); len(requests) != calls || conns != 1 {
		t.Errorf("%d requests came over %d connections, want %d over one", len(requests), conns, calls)
	}
}

// Many callers share a client, and each gets its own answer.
func TestManyCallers(t *testing.T) {
	up := newUpstream(t, func(w *wire) {
		for {
			_, body, found := strings.Cut(w.request(), "\r\n\r\n")
			if !found {
				return
			}
			w.reply(okHead, body)
		}
	})
	c := up.client(t)
	var callers sync.WaitGroup
	for caller := range 20 {
		callers.Go(func() {
			for n := range 20 {
				body := fmt.Sprintf(`{"caller":%d,"n":%d}`, caller, n)
				answer, err := c.Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Body: []byte(body)})
				if err != nil || string(answer.Body) != body {
					t.Errorf("%s got %v, %v", body, answer, err)
				}
			}
		})
	}
	callers.Wait()
	if requests, _ := up.asked(); len(requests) != 400 {
		t.Errorf("%d requests came, want 400", len(requests))
	}
}

// What a server says before its answer is none.
func TestInformationalAnswers(t *testing.T) {
	up := answering(t, "HTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 102 Processing\n\n"+okHead, okBody)
	answer, err := execute(t, up.client(t))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the answer", string(answer.Body), okBody)
}

// A call that may have run is never repeated: not where the upstream takes the request on a kept connection and hangs up
// without a word, and not where it hangs up between two calls.
func TestNothingIsSentTwice(t *testing.T) {
	t.Run("hangs up on the request", func(t *testing.T) {
		up := newUpstream(t, func(w *wire) {
			if w.request() != "" {
				w.reply(okHead, okBody)
			}
			w.request()
		})
		c := up.client(t)
		if _, err := execute(t, c); err != nil {
			t.Fatal(err)
		}
		answer, err := c.Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Header: http.Header{"Idempotency-Key": {"k"}}, Body: []byte(`{"second":true}`)})
		wantError(t, answer, err, azureml.Broken)
		if requests, conns := up.asked(); len(requests) != 2 || conns != 1 {
			t.Errorf("the upstream got %d requests over %d connections, want 2 over one", len(requests), conns)
		}
	})
	t.Run("hangs up between calls", func(t *testing.T) {
		up := newUpstream(t, func(w *wire) {
			if w.request() != "" {
				w.reply(okHead, okBody)
			}
		})
		c := up.client(t)
		for n := range 50 {
			body := fmt.Sprintf(`{"n":"%d"}`, n)
			_, err := c.Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Body: []byte(body)})
			// Whether the client sees the end before it writes is the kernel's to say; Broken is the honest word if not.
			var e *azureml.Error
			if err != nil && (!errors.As(err, &e) || e.Kind != azureml.Broken) {
				t.Fatal(err)
			}
			requests, _ := up.asked()
			if got := strings.Count(strings.Join(requests, ""), body); got > 1 || got == 0 && err == nil {
				t.Errorf("call %d, which ended with %v, came %d times", n, err, got)
			}
		}
	})
}

// Cancelling a call ends it at the upstream too: the connection is closed.
func TestCancelReachesTheUpstream(t *testing.T) {
	for name, begin := range map[string]func(*wire){
		"before the answer": func(*wire) {},
		"within the answer": func(w *wire) {
			// More than sockets hold, so that the client must be reading the body when this returns.
			w.reply("HTTP/1.1 200 OK\nContent-Length: 60000000", strings.Repeat(" ", 50_000_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked, closed := make(chan struct{}), make(chan struct{})
			up := newUpstream(t, func(w *wire) {
				w.request()
				begin(w)
				close(asked)
				w.hangUp()
				close(closed)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-asked
				cancel()
			}()
			answer, err := up.client(t).Execute(ctx, &azureml.Request{Workspace: "w", Service: "s", Body: []byte("{}")})
			if answer != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("the call ended with %v, %v", answer, err)
			}
			<-closed
		})
	}
}

// An upstream may answer, and be believed, before it has read a large body.
func TestEarlyAnswer(t *testing.T) {
	up := newUpstream(t, func(w *wire) {
		_, _ = io.ReadFull(w.r, make([]byte, 10))
		w.reply("HTTP/1.1 413 Too Large\nConnection: close\nContent-Length: auto", `{"error":{"code":"x","message":"","details":[]}}`)
		w.hangUp()
	})
	answer, err := up.client(t).Execute(t.Context(), &azureml.Request{Workspace: "w", Service: "s", Body: bytes.Repeat([]byte("x"), 8<<20)})
	if e := wantError(t, answer, err, azureml.Answered); e.Status != 413 {
		t.Errorf("the status is %d", e.Status)
	}
}

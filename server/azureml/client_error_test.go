package azureml_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/azureml"
)

const (
	unreachable = "the upstream cannot be reached; nothing ran"
	brokeOff    = "the upstream broke off before its answer was whole; the call may have run"
)

// silent takes connections and says nothing.
func silent(w *wire) { w.hangUp() }

// Unreachable is the one kind that promises that nothing ran, so it is only for what ended before a connection stood.
func TestUnreachable(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		answer, err := execute(t, newClient(t, azureml.Options{BaseURL: "http://" + l.Addr().String()}))
		e := wantError(t, answer, err, azureml.Unreachable)
		wantText(t, "Reason", e.Reason, unreachable)
		if e.Status != 0 || e.Err == nil || errors.Unwrap(e) != e.Err || !strings.HasPrefix(e.Error(), unreachable+": ") || !strings.Contains(e.Error(), "refused") {
			t.Errorf("the error is %#v: %v", e, e)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		answer, err := execute(t, newClient(t, azureml.Options{BaseURL: "http://no..host"})) // no name, so no resolver is asked
		wantError(t, answer, err, azureml.Unreachable)
	})
	t.Run("untrusted certificate", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = quiet()
		srv.StartTLS()
		defer srv.Close()
		answer, err := execute(t, newClient(t, azureml.Options{BaseURL: srv.URL}))
		e := wantError(t, answer, err, azureml.Unreachable)
		if !strings.Contains(e.Error(), "certificate") {
			t.Errorf("the error does not say so: %v", e)
		}
	})
	for name, script := range map[string]func(*wire){
		"TLS meets HTTP":          func(w *wire) { w.reply("HTTP/1.1 400 Bad Request\nContent-Length: 0", "") },
		"TLS meets an alert":      func(w *wire) { _, _ = w.Write([]byte("\x15\x03\x03\x00\x02\x02\x28")) }, // fatal, handshake_failure
		"the handshake is cut":    func(w *wire) { _, _ = w.r.Peek(1) },
		"a handshake without end": silent,
	} {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, script)
			o := azureml.Options{BaseURL: "https://" + up.addr}
			if name == "a handshake without end" {
				o.Timeout = 20 * time.Millisecond
			}
			answer, err := execute(t, newClient(t, o))
			wantError(t, answer, err, azureml.Unreachable)
		})
	}
}

// Options.Timeout is for the whole call, to the last byte.
func TestTimedOut(t *testing.T) {
	for name, script := range map[string]func(*wire){
		"no answer":   silent,
		"half a head": func(w *wire) { w.request(); _, _ = w.Write([]byte("HTTP/1.1 200")); w.hangUp() },
		"half a body": func(w *wire) { w.request(); w.reply("HTTP/1.1 200 OK\nContent-Length: 100", "{"); w.hangUp() },
		"an endless body": func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "1\r\n{\r\n")
			w.hangUp()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, script)
			// Enough for a busy machine to connect in, since otherwise the kind is another.
			answer, err := execute(t, newClient(t, azureml.Options{BaseURL: "http://" + up.addr, Timeout: 700 * time.Millisecond}))
			e := wantError(t, answer, err, azureml.TimedOut)
			wantText(t, "the error", e.Error(), "the upstream did not answer within 700ms; it may still be working")
			if body := strings.HasSuffix(name, "body"); body != (e.Status == 200) || body != (e.Header != nil) {
				t.Errorf("the status is %d, the header %v", e.Status, e.Header)
			}
		})
	}
}

// The caller's own end comes back as the context's error, whatever else there is to say.
func TestCallersOwnEnd(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(30*time.Millisecond))
	defer cancel()
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, tc := range []struct {
		name string
		ctx  context.Context
		want error
	}{{"cancelled before", cancelled, context.Canceled}, {"deadline passed before", past, context.DeadlineExceeded}, {"deadline passes", late, context.DeadlineExceeded}} {
		up := newUpstream(t, silent)
		answer, err := up.client(t).Execute(tc.ctx, &azureml.Request{Workspace: "w", Service: "s"})
		if answer != nil || err != tc.want {
			t.Errorf("%s: the call returned %v, %v; want %v itself", tc.name, answer, err, tc.want)
		}
	}
}

// An answer that is not whole is no answer.
func TestBroken(t *testing.T) {
	for name, tc := range map[string]struct {
		script func(*wire)
		status int
	}{
		"nothing":     {func(w *wire) { w.request() }, 0},
		"half a head": {func(w *wire) { w.request(); _, _ = w.Write([]byte("HTTP/1.1 200 OK\r\nContent-")) }, 0},
		"no HTTP":     {func(w *wire) { w.request(); _, _ = w.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n")) }, 0},
		"a short body": {func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 200 OK\nx-ms-request-id: up-1\nContent-Length: 15", okBody)
		}, 200},
		"no body": {func(w *wire) { w.request(); w.reply("HTTP/1.1 200 OK\nx-ms-request-id: up-1\nContent-Length: 14", "") }, 200},
		"a torn chunk": {func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 200 OK\nx-ms-request-id: up-1\nTransfer-Encoding: chunked", "e\r\n"+okBody[:7])
		}, 200},
		"chunks without an end": {func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 200 OK\nx-ms-request-id: up-1\nTransfer-Encoding: chunked", "e\r\n"+okBody+"\r\n")
		}, 200},
		"a chunk of no length": {func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 200 OK\nx-ms-request-id: up-1\nTransfer-Encoding: chunked", "zz\r\n"+okBody)
		}, 200},
		"a short error": {func(w *wire) {
			w.request()
			w.reply("HTTP/1.1 503 Busy\nx-ms-request-id: up-1\nRetry-After: 3\nContent-Length: 99", `{"error":{}}`)
		}, 503},
		"a reset within the way": {func(w *wire) { w.request(); _ = w.Conn.(*net.TCPConn).SetLinger(0) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := execute(t, newUpstream(t, tc.script).client(t))
			e := wantError(t, answer, err, azureml.Broken)
			wantText(t, "Reason", e.Reason, brokeOff)
			if e.Err == nil || e.Status != tc.status || len(e.Body) > 0 || (tc.status != 0) != (e.Header.Get("X-Ms-Request-Id") == "up-1") {
				t.Errorf("the error is %#v", e)
			}
		})
	}
}

// A 200 that AzureML does not answer, and what lies beyond 200 without being an error.
func TestForeign(t *testing.T) {
	const cut = "the upstream's answer ends in the middle of its JSON"
	for _, tc := range []struct{ name, head, body, reason string }{
		{"HTML", "HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8\nContent-Length: auto", "<html>sign in</html>", "the upstream answered 200 with a body of text/html that is not AzureML's JSON"},
		{"a body of no type", "HTTP/1.1 200 OK\nContent-Length: auto", "<html>", "the upstream answered 200 with a body that is not AzureML's JSON"},
		{"a type that is none", "HTTP/1.1 200 OK\nContent-Type: \"<b>\"te\tx t/é\nContent-Length: auto", "[]", "the upstream answered 200 with a body of btext/ that is not AzureML's JSON"},
		{"a type without an end", "HTTP/1.1 200 OK\nContent-Type: " + strings.Repeat("x", 101) + "\nContent-Length: auto", "[]", "the upstream answered 200 with a body that is not AzureML's JSON"},
		{"a list", okHead, "[1]", "the upstream answered 200 with a body of application/json that is not AzureML's JSON"},
		{"a text", okHead, `"{}"`, "the upstream answered 200 with a body of application/json that is not AzureML's JSON"},
		{"empty", "HTTP/1.1 200 OK\nContent-Length: 0", "", "the upstream answered 200 with an empty body"},
		{"blank", okHead, "\ufeff \r\n", "the upstream answered 200 with an empty body"},
		{"cut by the connection's end", "HTTP/1.1 200 OK\nContent-Type: application/json", `{"Results":{"output1":[`, cut},
		{"empty by the connection's end", "HTTP/1.0 200 OK", "", "the upstream answered 200 with an empty body"},
		{"cut by its announced length", "HTTP/1.1 200 OK\nContent-Length: 11", okBody, cut},
		{"204", "HTTP/1.1 204 No Content", "", "the upstream answered 204 where AzureML answers 200"},
		{"201", "HTTP/1.1 201 Created\nContent-Length: auto", okBody, "the upstream answered 201 where AzureML answers 200"},
		{"206", "HTTP/1.1 206 Partial Content\nContent-Length: auto", okBody, "the upstream answered 206 where AzureML answers 200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newUpstream(t, func(w *wire) { w.request(); w.reply(tc.head, tc.body) })
			answer, err := execute(t, up.client(t))
			e := wantError(t, answer, err, azureml.Foreign)
			wantText(t, "the error", e.Error(), tc.reason)
			if e.Status/100 != 2 || e.Header == nil {
				t.Errorf("the status is %d, the header %v", e.Status, e.Header)
			}
		})
	}
	// Close to the above, and AzureML's all the same.
	for _, body := range []string{"{}", "\ufeff{}\n", " {\"a\": 1} \r\n", "{garbage}"} {
		up := newUpstream(t, func(w *wire) { w.request(); w.reply("HTTP/1.1 200 OK\nContent-Type: text/html", body) })
		answer, err := execute(t, up.client(t))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		wantText(t, "the answer", string(answer.Body), body)
	}
}

// Redirects are an error, never followed: a key must not go where the operator did not send it.
func TestRedirected(t *testing.T) {
	elsewhere := newUpstream(t, func(w *wire) {
		w.request()
		w.reply(okHead, okBody)
	})
	for _, code := range []string{"300", "301", "302", "303", "304", "307", "308"} {
		up := answering(t, "HTTP/1.1 "+code+" Elsewhere\nLocation: http://"+elsewhere.addr+"/\nx-ms-request-id: up-1\nContent-Length: auto", "")
		for name, call := range map[string]func(context.Context, *azureml.Request) (*azureml.Answer, error){"execute": up.client(t).Execute, "swagger": up.client(t).Swagger} {
			answer, err := call(t.Context(), &azureml.Request{Workspace: "w", Service: "s"})
			e := wantError(t, answer, err, azureml.Redirected)
			wantText(t, name+"'s error", e.Error(), "the upstream answered "+code+", a redirect, which is not followed; check the upstream's address")
			if e.Header.Get("Location") != "" || e.Header.Get("X-Ms-Request-Id") != "up-1" {
				t.Errorf("the header is %v", e.Header)
			}
		}
	}
	if requests, _ := elsewhere.asked(); len(requests) > 0 {
		t.Errorf("the redirect was followed: %q", requests)
	}
}

// Of an error at most a megabyte is read, however large answers may be.
func TestLargeErrorAnswers(t *testing.T) {
	for _, tc := range []struct {
		code string
		size int
		kind azureml.Kind
	}{{"500 Oops", 1 << 20, azureml.Answered}, {"500 Oops", 1<<20 + 1, azureml.TooLarge}, {"400 Bad Request", 1<<20 + 1, azureml.TooLarge}, {"200 OK", 1<<20 + 1, 0}} {
		up := answering(t, "HTTP/1.1 "+tc.code+"\nContent-Length: auto", "{"+strings.Repeat(" ", tc.size-2)+"}")
		answer, err := execute(t, up.client(t))
		if tc.kind == 0 {
			if err != nil || len(answer.Body) != tc.size {
				t.Errorf("%s: %v", tc.code, err)
			}
			continue
		}
		if e := wantError(t, answer, err, tc.kind); tc.kind == azureml.TooLarge {
			wantText(t, "the error", e.Error(), "the upstream's answer is larger than 1048576 bytes (--max-answer)")
		}
	}
}

// MaxAnswer holds to the byte, announced or not; an announced one is not waited for.
func TestTooLarge(t *testing.T) {
	const limit = 100
	body := `{"a":"` + strings.Repeat("x", limit-8) + `"}`
	chunked := func(s string) string {
		return "a\r\n" + s[:10] + "\r\n" + hex(len(s)-10) + "\r\n" + s[10:] + "\r\n0\r\n\r\n"
	}
	for _, tc := range []struct {
		name, head, body string
		large            bool
	}{
		{"announced, at the limit", okHead, body, false},
		{"announced, one above", okHead, body + " ", true},
		{"announced, far above and never sent", "HTTP/1.1 200 OK\nContent-Length: 9223372036854775807", "", true},
		{"chunked, at the limit", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", chunked(body), false},
		{"chunked, one above", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", chunked(body + " "), true},
		{"to the connection's end, at the limit", "HTTP/1.1 200 OK", body, false},
		{"to the connection's end, one above", "HTTP/1.1 200 OK", body + " ", true},
		{"an error", "HTTP/1.1 500 Oops\nContent-Length: auto", body + " ", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newUpstream(t, func(w *wire) {
				w.request()
				w.reply(tc.head, tc.body)
				if strings.Contains(tc.name, "never sent") {
					w.hangUp()
				}
			})
			answer, err := execute(t, newClient(t, azureml.Options{BaseURL: "http://" + up.addr, MaxAnswer: limit}))
			if !tc.large {
				if err != nil || string(answer.Body) != body {
					t.Errorf("the call returned %v, %v", answer, err)
				}
				return
			}
			e := wantError(t, answer, err, azureml.TooLarge)
			wantText(t, "the error", e.Error(), "the upstream's answer is larger than 100 bytes (--max-answer)")
			if e.Status == 0 || e.Header == nil || e.Body != nil {
				t.Errorf("the error is %#v", e)
			}
		})
	}
}

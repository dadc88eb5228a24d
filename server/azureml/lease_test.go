package azureml_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/memory"
)

// waitGivenBack returns when nothing is lent any more. The transport lets go of a request when it is done with it, which
// may be after the call.
func waitGivenBack(t *testing.T, pool *memory.Pool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); pool.Lent() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes stay lent", pool.Lent())
		}
	}
}

// lease returns a buffer of n bytes that are all mark.
func lease(t *testing.T, pool *memory.Pool, n int, mark byte) *memory.Buffer {
	t.Helper()
	b, err := pool.Lend(n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.B {
		b.B[i] = mark
	}
	return b
}

// scoring is a call whose body lies in a lease.
func scoring(b *memory.Buffer) *azureml.Request {
	return &azureml.Request{Workspace: "w", Service: "s", Body: b.B, Lease: b}
}

// Whatever comes of a call, its buffers go back: the request's and the answer's.
func TestBuffersComeBack(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked"
	long := `{"Results":{"x":"` + strings.Repeat("x", 100_000) + `"}}`
	then := func(head, body string) func(*wire, func()) {
		return func(w *wire, _ func()) { w.reply(head, body) }
	}
	for _, tc := range []struct {
		name   string
		kind   azureml.Kind // 0 for a good answer, -1 for the context's error
		answer func(w *wire, cancel func())
	}{
		{"an answer", 0, then(okHead, long)},
		{"an answer in chunks", 0, then(chunked, "11\r\n"+long[:17]+"\r\n"+"186a3\r\n"+long[17:]+"\r\n0\r\n\r\n")},
		{"an answer that ends with its connection", 0, then("HTTP/1.1 200 OK\nConnection: close", long)},
		{"an error", azureml.Answered, then("HTTP/1.1 400 Bad Request\nContent-Length: auto", `{"error":{}}`)},
		{"a redirect", azureml.Redirected, then("HTTP/1.1 302 Found\nLocation: /\nContent-Length: auto", "there")},
		{"an empty answer", azureml.Foreign, then(okHead, "")},
		{"a strange answer", azureml.Foreign, then(okHead, "<html>")},
		{"half an object", azureml.Foreign, then("HTTP/1.1 200 OK\nConnection: close", long[:5000])},
		{"an answer announced too large", azureml.TooLarge, then("HTTP/1.1 200 OK\nContent-Length: 200001", "{")},
		{"an answer too large in chunks", azureml.TooLarge, then(chunked, "30d41\r\n"+strings.Repeat(" ", 200_001)+"\r\n0\r\n\r\n")},
		{"an error too large", azureml.TooLarge, then("HTTP/1.1 500 Error\nContent-Length: 200001", "{")},
		{"a torn answer", azureml.Broken, then("HTTP/1.1 200 OK\nContent-Length: 5000", "{")},
		{"a torn answer in chunks", azureml.Broken, then(chunked, "30d40\r\n"+long)},
		{"a torn error", azureml.Broken, then("HTTP/1.1 500 Error\nContent-Length: 5000", "{")},
		{"nothing", azureml.Broken, func(*wire, func()) {}},
		{"no HTTP", azureml.Broken, then("SSH-2.0", "")},
		{"a caller that goes before the answer", -1, func(w *wire, cancel func()) { cancel(); w.hangUp() }},
		{"a caller that goes within the answer", -1, func(w *wire, cancel func()) {
			w.reply("HTTP/1.1 200 OK\nContent-Length: 200000", "{")
			cancel()
			w.hangUp()
		}},
		{"a caller that goes within a chunk", -1, func(w *wire, cancel func()) {
			w.reply(chunked, "30d40\r\n"+long)
			cancel()
			w.hangUp()
		}},
		{"an upstream that is too slow", azureml.TimedOut, func(w *wire, _ func()) { w.hangUp() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{10, 3000, 500_000} {
				ctx, cancel := context.WithCancel(t.Context())
				up := newUpstream(t, func(w *wire) {
					if w.request() != "" {
						tc.answer(w, cancel)
					}
				})
				pool := memory.NewPool(10 << 20)
				o := azureml.Options{BaseURL: "http://" + up.addr, MaxAnswer: 200_000, Buffers: pool}
				if tc.kind == azureml.TimedOut {
					o.Timeout = 10 * time.Millisecond
				}
				answer, err := newClient(t, o).Execute(ctx, scoring(lease(t, pool, size, 'x')))
				var e *azureml.Error
				switch {
				case tc.kind == 0 && err == nil:
					wantText(t, "the answer", string(answer.Body), long)
					if pool.Lent() == 0 {
						t.Error("the answer's buffer went back before the answer was released")
					}
					answer.Release()
				case tc.kind == -1 && errors.Is(err, context.Canceled), errors.As(err, &e) && e.Kind == tc.kind:
				default:
					t.Errorf("the call ended with %v", err)
				}
				cancel()
				waitGivenBack(t, pool)
			}
		})
	}
}

// A call that reaches nobody gives its buffer back too.
func TestBuffersComeBackFromNowhere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		ctx  context.Context
		base string
	}{{t.Context(), "http://" + l.Addr().String()}, {t.Context(), "https://" + l.Addr().String()}, {t.Context(), "http://no..host"}, {gone, "http://" + l.Addr().String()}} {
		pool := memory.NewPool(1 << 20)
		answer, err := newClient(t, azureml.Options{BaseURL: tc.base, Buffers: pool}).Execute(tc.ctx, scoring(lease(t, pool, 5000, 'x')))
		if err == nil {
			t.Errorf("%s answered %v", tc.base, answer)
		}
		waitGivenBack(t, pool)
	}
}

// An upstream may begin to answer before it has read the body. What it reads after that is still this call's, whoever
// borrows buffers meanwhile.
func TestBodyStaysTheCalls(t *testing.T) {
	const size = 24 << 20 // more than sockets hold
	others := make(chan struct{})
	up := newUpstream(t, func(w *wire) {
		for line := " "; line != "\r\n"; {
			line, _ = w.r.ReadString('\n')
		}
		w.reply("HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked", "1\r\n{\r\n")
		<-others
		body := make([]byte, size)
		_, err := io.ReadFull(w.r, body)
		if n := bytes.Count(body, []byte{'a'}); err != nil || n != size {
			t.Errorf("%d of %d bytes are the call's, %v", n, size, err)
		}
		_, _ = io.WriteString(w, "1\r\n}\r\n0\r\n\r\n")
	})
	pool := memory.NewPool(1 << 30)
	request := scoring(lease(t, pool, size, 'a'))
	held := pool.Lent()
	c := newClient(t, azureml.Options{BaseURL: "http://" + up.addr, Buffers: pool})
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err := c.Execute(t.Context(), request)
		if err != nil {
			t.Error(err)
			return
		}
		answer.Release()
	}()
	for pool.Lent() == held { // until the answer has a buffer, and the call has done with its request
		runtime.Gosched()
	}
	other := lease(t, pool, size, 'b') // the same buffer, had it come back
	close(others)
	<-done
	other.Release()
	waitGivenBack(t, pool)
}

// An answer that there is no room for is refused in words that name the flag, and say that the call has run.
func TestNoRoomForAnAnswer(t *testing.T) {
	for name, reply := range map[string][2]string{
		"announced": {okHead, strings.Repeat(" ", 200_000)},
		"in chunks": {"HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "30d40\r\n" + strings.Repeat(" ", 200_000) + "\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			up := answering(t, reply[0]+"\nx-ms-request-id: up-1", reply[1])
			pool := memory.NewPool(100 << 10)
			answer, err := newClient(t, azureml.Options{BaseURL: "http://" + up.addr, Buffers: pool}).Execute(t.Context(), scoring(lease(t, pool, 3000, 'x')))
			e := wantError(t, answer, err, azureml.NoRoom)
			if e.Status != 200 || e.Header.Get("X-Ms-Request-Id") != "up-1" || !strings.Contains(e.Reason, "--max-in-flight") || !strings.Contains(e.Reason, "has run") {
				t.Errorf("the error is %#v", e)
			}
			waitGivenBack(t, pool)
		})
	}
}

package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func refusedThrottled(service string, most int) refusal {
	return refusal{503, "ServiceUnavailable", "Service is temporarily unavailable.", "RequestThrottled",
		fmt.Sprintf("Request was throttled for %s endpoint. The maximum concurrency for the endpoint is %d.", service, most)}
}

var (
	refusedLate = refusal{408, "RequestTimeout", "The operation could not be completed within the permitted time.",
		"ScoreRequestTimeout", "Execution request timed out."}
	refusedFault = refusal{500, "InternalError", "Execution encountered an internal error.",
		"ContainerProcessTerminatedWithUnknownError", "The container process crashed with unknown error"}
)

// Latency comes before answers and refusals of calls that run, and at Timeout
// it is over. Time in these tests is synctest's.
func TestLatency(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body       string
		latency, timeout time.Duration
		took             time.Duration
		want             *refusal
	}{
		{"answer", goodDay, time.Second, 0, time.Second, nil},
		{"refusal", "", time.Second, 0, time.Second, ptr(refusedBody("Byte 0: the body is empty."))},
		{"as long as Timeout", goodDay, time.Minute, time.Minute, time.Minute, nil},
		{"longer than Timeout", goodDay, time.Hour, time.Minute, time.Minute, &refusedLate},
		{"longer than the default", goodDay, time.Hour, 0, 100 * time.Second, &refusedLate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := mustNew(t, Config{Timeout: tt.timeout, Faults: Faults{Latency: tt.latency}})
				start := time.Now()
				w := execute(e, hashingPath, "", tt.body)
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.want == nil {
					wantBody(t, w, hashedPlain)
				} else {
					wantRefusal(t, w, *tt.want)
				}
				start = time.Now()
				send(e, newRequest("GET", hashingPath+"/swagger.json", ""))
				send(e, newRequest("POST", "/workspaces/demo/services/other/execute", ""))
				if took := time.Since(start); took != 0 {
					t.Errorf("other answers took %v", took)
				}
			})
		})
	}
}

func ptr[T any](v T) *T { return &v }

// start runs a request in the background; the channel yields its answer, or
// nil if the connection was cut.
func start(e *Emulator, r *http.Request) <-chan *httptest.ResponseRecorder {
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
			close(done)
		}()
		done <- send(e, r)
	}()
	return done
}

// The limit is per service, holds while calls wait, and is free again after.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{Concurrency: 3, Faults: Faults{Latency: time.Minute}})
		var running []<-chan *httptest.ResponseRecorder
		for range 3 {
			running = append(running, start(e, newRequest("POST", hashingPath+"/execute", goodDay)))
		}
		synctest.Wait()
		began := time.Now()
		wantRefusal(t, execute(e, hashingPath, "", goodDay), refusedThrottled("feature-hashing", 3))
		wantRefusal(t, execute(e, hashingPath, "", "no JSON"), refusedThrottled("feature-hashing", 3))
		if time.Since(began) != 0 {
			t.Error("a throttled call waited")
		}
		other := start(e, newRequest("POST", riskPath+"/execute", `{"Inputs":{"input1":[]}}`))
		for _, answer := range running {
			wantBody(t, <-answer, hashedPlain)
		}
		if w := <-other; w.Code != 200 {
			t.Errorf("the other service: status %d", w.Code)
		}
		wantBody(t, execute(e, hashingPath, "", goodDay), hashedPlain)
	})
}

// A body that is still on its way holds no slot; a client that goes away gives
// its slot back.
func TestSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{Concurrency: 1, Faults: Faults{Latency: time.Minute}})
		body, feed := io.Pipe()
		slow := newRequest("POST", hashingPath+"/execute", "")
		slow.Body, slow.ContentLength = body, -1
		sending := start(e, slow)
		synctest.Wait()
		wantBody(t, execute(e, hashingPath, "", goodDay), hashedPlain)

		ctx, cancel := context.WithCancel(t.Context())
		leaving := start(e, newRequest("POST", hashingPath+"/execute", goodDay).WithContext(ctx))
		synctest.Wait()
		wantRefusal(t, execute(e, hashingPath, "", goodDay), refusedThrottled("feature-hashing", 1))
		cancel()
		if w := <-leaving; w != nil {
			t.Errorf("a client that is gone is answered %d", w.Code)
		}
		if _, err := io.WriteString(feed, goodDay); err != nil {
			t.Error(err)
		}
		feed.Close()
		wantBody(t, <-sending, hashedPlain)
	})
}

func TestThrottleAfter(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{Faults: Faults{ThrottleAfter: 2}})
	// Calls that were refused before their body was read do not count.
	execute(e, hashingPath, "api-version=1", goodDay)
	r := newRequest("POST", hashingPath+"/execute", goodDay)
	r.Header.Del("Authorization")
	send(e, r)

	wantBody(t, execute(e, hashingPath, "", goodDay), hashedPlain)
	if w := execute(e, riskPath, "", "no JSON"); w.Code != 400 {
		t.Errorf("status %d", w.Code)
	}
	for range 3 {
		wantRefusal(t, execute(e, hashingPath, "", goodDay), refusedThrottled("feature-hashing", 20))
		wantRefusal(t, execute(e, riskPath, "", goodDay), refusedThrottled("cardiovascular-risk", 20))
	}
	if w := send(e, newRequest("GET", hashingPath+"/swagger.json", "")); w.Code != 200 {
		t.Errorf("swagger.json: status %d", w.Code)
	}
}

func TestErrorRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]string{
		0:        "............",
		1:        "xxxxxxxxxxxx",
		0.5:      ".x.x.x.x.x.x",
		0.25:     "...x...x...x",
		0.1:      ".........x..",
		0.75:     ".xxx.xxx.xxx",
		1. / 3:   "...x..x..x..", // a third is 333333 millionths, a little late
		0.000001: "............",
	} {
		e := mustNew(t, Config{Faults: Faults{ErrorRate: rate}})
		got := ""
		for range want {
			switch w := execute(e, hashingPath, "", goodDay); w.Code {
			case 200:
				got += "."
			default:
				wantRefusal(t, w, refusedFault)
				got += "x"
			}
		}
		if got != want {
			t.Errorf("rate %v: got %s, want %s", rate, got, want)
		}
	}
	failed := 0
	for n := range int64(100_000) {
		if due(n+1, 0.29) {
			failed++
		}
	}
	if failed != 29_000 {
		t.Errorf("%d of 100000 calls failed, want 29000", failed)
	}
}

// A hung call outlasts Timeout, holds its slot, and ends with the client.
func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{Concurrency: 1, Faults: Faults{Hang: true}})
		ctx, cancel := context.WithCancel(t.Context())
		hung := start(e, newRequest("POST", hashingPath+"/execute", goodDay).WithContext(ctx))
		time.Sleep(24 * time.Hour) // of the bubble's time
		synctest.Wait()
		select {
		case w := <-hung:
			t.Fatalf("answered: %v", w)
		default:
		}
		wantRefusal(t, execute(e, hashingPath, "", goodDay), refusedThrottled("feature-hashing", 1))
		if w := send(e, newRequest("GET", hashingPath+"/swagger.json", "")); w.Code != 200 {
			t.Errorf("swagger.json: status %d", w.Code)
		}
		cancel()
		if w := <-hung; w != nil {
			t.Errorf("answered %d after all", w.Code)
		}
		if len(e.services["feature-hashing"].slots) != 0 {
			t.Error("the slot is still held")
		}
	})
}

// Over a real connection a hung call ends when the client gives up and when
// the server closes its connections.
func TestHangEnds(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{Faults: Faults{Hang: true}})
	began, ended := make(chan bool), make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			ended <- p == http.ErrAbortHandler
			panic(p)
		}()
		began <- true
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	for name, end := range map[string]func(context.CancelFunc){
		"client": func(cancel context.CancelFunc) { cancel() },
		"server": func(context.CancelFunc) { srv.CloseClientConnections() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+hashingPath+"/execute", strings.NewReader(goodDay))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer demo-key")
		failure := make(chan error)
		go func() {
			response, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				response.Body.Close()
			}
			failure <- err
		}()
		<-began
		end(cancel)
		if !<-ended {
			t.Errorf("%s: the handler returned", name)
		}
		if err := <-failure; err == nil {
			t.Errorf("%s: the client has an answer", name)
		}
		cancel()
	}
}

// The client sees a good head, the whole length and half a body.
func TestCutAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		http2      bool
		status     int
	}{
		{"answer over HTTP/1.1", goodDay, false, 200},
		{"answer over HTTP/2", goodDay, true, 200},
		{"refusal", "no JSON", false, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(mustNew(t, Config{Concurrency: 1, Faults: Faults{CutAnswer: true}}))
			srv.EnableHTTP2 = tt.http2
			srv.StartTLS()
			t.Cleanup(srv.Close)
			for range 3 { // the slot is free again each time
				r, err := http.NewRequest("POST", srv.URL+hashingPath+"/execute", strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer demo-key")
				response, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err == nil || (!tt.http2 && !errors.Is(err, io.ErrUnexpectedEOF)) {
					t.Errorf("the body ended with %v", err)
				}
				if response.StatusCode != tt.status || int64(len(got)) != response.ContentLength/2 {
					t.Errorf("status %d, %d of %d bytes", response.StatusCode, len(got), response.ContentLength)
				}
				if tt.status == 200 && (response.ContentLength != int64(len(hashedPlain)) || !strings.HasPrefix(hashedPlain, string(got))) {
					t.Errorf("announced %d bytes, got %s", response.ContentLength, got)
				}
			}
		})
	}
}

// Faults add up: the latency of a failing call is waited, its answer cut.
func TestFaultsTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{Faults: Faults{Latency: time.Second, ErrorRate: 1, CutAnswer: true, ThrottleAfter: 1}})
		began := time.Now()
		if w := <-start(e, newRequest("POST", hashingPath+"/execute", goodDay)); w != nil {
			t.Errorf("an answer that is not cut: %d", w.Code)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		wantRefusal(t, execute(e, hashingPath, "", goodDay), refusedThrottled("feature-hashing", 20))
	})
}

// Many callers at once, for the race detector.
func TestParallelCalls(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(mustNew(t, Config{Concurrency: 100, Faults: Faults{ErrorRate: 0.5}}))
	t.Cleanup(srv.Close)
	var wg sync.WaitGroup
	statuses := make([]int, 60)
	for i := range statuses {
		wg.Go(func() {
			body, path := goodDay, hashingPath
			if i%2 == 0 {
				body, path = `{"Inputs":{"input1":[{`+womanRow+`}]}}`, riskPath
			}
			response, _ := post(t, srv.URL+path+"/execute", body, i%3 == 0)
			statuses[i] = response.StatusCode
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[200] != 30 || count[500] != 30 {
		t.Errorf("statuses %v", count)
	}
}

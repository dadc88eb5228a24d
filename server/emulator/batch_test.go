package emulator

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	jobIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

	refusedJob = refusal{404, "NotFound", "Resource not found.", "JobNotFound", "Job not found. Verify the job Id is correct and try again."}
)

func refusedStart(state string) refusal {
	return refusal{400, "InvalidOperation", "The request is invalid in the current context.", "CannotStartJob",
		"The job cannot be started because it is in " + state + " state."}
}

const (
	unset   = `"0001-01-01T00:00:00+00:00"`
	bubble0 = `"2000-01-01T00:00:00.000Z"` // when time begins in a bubble
	unknown = "0123456789abcdef0123456789abcdef"
)

// A job's whole life, answer by answer, to the byte.
func TestJob(t *testing.T) {
	inBench(t, Config{Faults: Faults{JobStart: 18189 * time.Millisecond, JobRun: time.Minute}}, nil, func(t *testing.T, b *bench) {
		w := b.send("POST", "/jobs?api-version=2.0", goodOrder)
		id := w.Body.String()[1:33] // as generated samples take it
		if w.Code != 200 || w.Body.String() != `"`+id+`"` || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("submit: %d %v %s", w.Code, w.Header(), w.Body)
		}
		const nothing = `{"StatusCode":"NotStarted","Results":null,"Details":null,"CreatedAt":` + bubble0 + `,"StartTime":` + unset + `,"EndTime":` + unset + `}`
		wantBody(t, b.send("GET", "/jobs/"+id, ""), nothing)
		time.Sleep(time.Hour) // nothing runs before it is started
		wantBody(t, b.send("GET", "/jobs/"+id, ""), nothing)

		w = b.send("POST", "/jobs/"+id+"/start", "")
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "0" {
			t.Errorf("start: %d %v %q", w.Code, w.Header(), w.Body)
		}
		synctest.Wait()
		wantBody(t, b.send("GET", "/jobs/"+id, ""), nothing) // slow to start
		time.Sleep(19 * time.Second)
		synctest.Wait()
		wantBody(t, b.send("GET", "/jobs/"+id, ""), `{"StatusCode":"Running","Results":null,"Details":null,"CreatedAt":`+bubble0+`,"StartTime":"2000-01-01T01:00:18.189Z","EndTime":`+unset+`}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		w = b.send("GET", "/jobs/"+id, "")
		token := jobAnswerOf(t, w).Results["output1"].SasBlobToken
		wantBody(t, w, `{"StatusCode":"Finished","Results":{"output1":{"ConnectionString":null,"RelativeLocation":"data/out.csv","BaseLocation":"`+blobURL+`/devstoreaccount1/","SasBlobToken":"`+token+`"}},`+
			`"Details":null,"CreatedAt":`+bubble0+`,"StartTime":"2000-01-01T01:00:18.189Z","EndTime":"2000-01-01T01:01:18.189Z"}`)
		if got := b.get("data", "out.csv"); got != goodOutput {
			t.Errorf("the output is %q", got)
		}
		// Each answer has a fresh token: 24 h 5 min, beginning a little before.
		if !strings.HasPrefix(token, "?") || !strings.Contains(token, "sp=r&") || !strings.Contains(token, "st=2000-01-01T00%3A56%3A19Z") || !strings.Contains(token, "se=2000-01-02T01%3A01%3A19Z") {
			t.Errorf("the token is %s", token)
		}
		time.Sleep(time.Minute)
		if again := b.status(id).Results["output1"].SasBlobToken; again == token {
			t.Error("the token is not fresh")
		}
	})
}

// DELETE cancels what has not ended and removes what has.
func TestDelete(t *testing.T) {
	inBench(t, Config{MaxJobs: 1, Faults: Faults{JobHang: true}}, nil, func(t *testing.T, b *bench) {
		fresh, running, queued := b.submit(goodOrder), b.started(goodOrder), b.started(goodOrder)
		b.wantState("Running", running)
		b.wantState("NotStarted", fresh, queued)
		time.Sleep(time.Second)
		for _, id := range []string{fresh, queued, running} {
			b.remove(id)
			a := b.status(id)
			if a.StatusCode != "Cancelled" || a.EndTime != "2000-01-01T00:00:01.000Z" || a.Results != nil || a.Details != nil || (a.StartTime == strings.Trim(unset, `"`)) != (id != running) {
				t.Errorf("cancelled: %+v", a)
			}
			wantRefusal(t, b.send("POST", "/jobs/"+id+"/start", ""), refusedStart("Cancelled"))
			b.remove(id)
			wantRefusal(t, b.send("GET", "/jobs/"+id, ""), refusedJob)
			wantRefusal(t, b.send("DELETE", "/jobs/"+id, ""), refusedJob)
			wantRefusal(t, b.send("POST", "/jobs/"+id+"/start", ""), refusedJob)
		}
		b.wantState("Running", b.started(goodOrder)) // the place is free again
	})
}

func TestStartTwice(t *testing.T) {
	inBench(t, Config{MaxJobs: 1, Faults: Faults{JobRun: time.Minute}}, nil, func(t *testing.T, b *bench) {
		first, second := b.started(goodOrder), b.started(goodOrder)
		b.wantState("Running", first)
		wantRefusal(t, b.send("POST", "/jobs/"+first+"/start", ""), refusedStart("Running"))
		wantRefusal(t, b.send("POST", "/jobs/"+second+"/start", "{}"), refusedStart("Queued"))
		time.Sleep(2 * time.Minute)
		b.wantState("Finished", first, second)
		wantRefusal(t, b.send("POST", "/jobs/"+first+"/start", ""), refusedStart("Finished"))
		failed := b.started(strings.ReplaceAll(goodOrder, "in.csv", "none.csv"))
		time.Sleep(time.Minute)
		b.wantState("Failed", failed)
		wantRefusal(t, b.send("POST", "/jobs/"+failed+"/start", ""), refusedStart("Failed"))
		b.remove(failed)
		b.remove(first)
		wantRefusal(t, b.send("GET", "/jobs/"+first, ""), refusedJob)
	})
}

func TestUnknownJob(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for _, id := range []string{unknown, strings.ToUpper(unknown), "0", "..", "%2e", "{job}", strings.Repeat("a", 5000)} {
		for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/start"}} {
			wantRefusal(t, send(e, newRequest(call[0], hashingPath+"/jobs/"+id+call[1], "")), refusedJob)
		}
	}
	missing := refusal{400, "BadArgument", badArgumentText, "MissingJobId",
		"No job Id provided. A job Id is returned when a job was submitted for the first time. Verify the job Id is correct and try again."}
	wantRefusal(t, send(e, newRequest("POST", hashingPath+"/jobs//start", "")), missing)
	wantRefusal(t, send(e, newRequest("GET", hashingPath+"/jobs//", "")), missing)
}

// A job belongs to its service.
func TestJobOfAnotherService(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		id := b.submit(goodOrder)
		b.path = riskPath
		wantRefusal(t, b.send("GET", "/jobs/"+id, ""), refusedJob)
		wantRefusal(t, b.send("POST", "/jobs/"+id+"/start", ""), refusedJob)
		wantRefusal(t, b.send("DELETE", "/jobs/"+id, ""), refusedJob)
	})
}

func TestJobCalls(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		id := b.submit(goodOrder)
		calls := [][2]string{{"POST", "/jobs"}, {"GET", "/jobs/" + id}, {"HEAD", "/jobs/" + id}, {"POST", "/jobs/" + id + "/start"}, {"DELETE", "/jobs/" + id}}
		for _, call := range calls {
			r := newRequest(call[0], b.path+call[1], goodOrder)
			r.Header.Del("Authorization")
			w := send(b, r)
			if call[0] == "HEAD" {
				if w.Code != 401 || w.Body.Len() != 0 {
					t.Errorf("HEAD without a key: %d", w.Code)
				}
				continue
			}
			wantRefusal(t, w, refusedKey)
			wantRefusal(t, b.send(call[0], call[1]+"?api-version=1.0", goodOrder), refusal{400, "BadArgument", badArgumentText, "BadVersionCall",
				"Invalid version parameter was passed during the API call: 1.0. Check the API help page for passing the correct version and try again."})
		}
		if w := b.send("HEAD", "/jobs/"+id, ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
			t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
		}
		b.wantState("NotStarted", id) // none of the refused calls did anything
		w := b.send("DELETE", "/JOBS/"+id+"/", "")
		if w.Code != 204 || w.Header().Get("Content-Type") != "" || w.Header().Get("Content-Length") != "" || w.Header().Get("x-ms-request-id") == "" {
			t.Errorf("DELETE: %d %v", w.Code, w.Header())
		}
	})
}

// What clients send to start is not looked at, whether it ends or not.
func TestStartBodies(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		for _, body := range []string{"", "{}", "no JSON", strings.Repeat(" ", 5<<20)} {
			if w := b.send("POST", "/jobs/"+b.submit(goodOrder)+"/start", body); w.Code != 200 {
				t.Errorf("%.9q: %d", body, w.Code)
			}
		}
		r := newRequest("POST", b.path+"/jobs/"+b.submit(goodOrder)+"/start", "")
		r.Body, r.ContentLength = neverEnding{}, -1
		if w := send(b, r); w.Code != 200 {
			t.Errorf("endless: %d", w.Code)
		}
	})
}

// neverEnding is a body that fails the test if it is read.
type neverEnding struct{}

func (neverEnding) Read([]byte) (int, error) { panic("the body is read") }
func (neverEnding) Close() error             { return nil }

func TestSubmitBodyLimits(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{MaxBody: 100, BlobURL: blobURL})
	w := send(e, newRequest("POST", hashingPath+"/jobs", strings.Repeat(" ", 101)))
	wantRefusal(t, w, refusal{413, "BadArgument", badArgumentText, "RequestBodyTooLarge", "The request body is longer than the limit of 100 bytes."})
	e = mustNew(t, Config{BlobURL: blobURL})
	r := newRequest("POST", hashingPath+"/jobs", zip(t, goodOrder))
	r.Header.Set("Content-Encoding", "gzip")
	if w := send(e, r); w.Code != 200 {
		t.Errorf("gzip: %d %s", w.Code, w.Body)
	}
}

// First in, first out, MaxJobs at a time, each service for itself.
func TestQueue(t *testing.T) {
	const most = 3
	inBench(t, Config{MaxJobs: most, Faults: Faults{JobRun: time.Minute}}, nil, func(t *testing.T, b *bench) {
		ids := make([]string, 8)
		for i := range ids {
			ids[i] = b.submit(goodOrder)
		}
		order := []int{7, 2, 5, 0, 1, 6, 3, 4} // of starting, which counts; not of submitting
		for _, i := range order {
			b.start(ids[i])
		}
		other := &bench{Emulator: b.Emulator, t: t, path: riskPath}
		risk := other.started(goodOrder)
		b.remove(ids[1]) // one that waits gives its place to the next
		order = append(order[:4], 6, 3, 4)
		for first := 0; first < len(order); first += most {
			synctest.Wait()
			for i, at := range order {
				want := "NotStarted"
				switch {
				case i < first:
					want = "Finished"
				case i < first+most:
					want = "Running"
				}
				a := b.status(ids[at])
				started := fmt.Sprintf("2000-01-01T00:%02d:00.000Z", i/most)
				if a.StatusCode != want || want != "NotStarted" && a.StartTime != started {
					t.Errorf("after %d: the job started as number %d is %s since %s", first, i, a.StatusCode, a.StartTime)
				}
			}
			time.Sleep(time.Minute)
		}
		other.wantState("Failed", risk) // its columns are others
		if got := other.status(risk).StartTime; got != "2000-01-01T00:00:00.000Z" {
			t.Errorf("the other service's job waited until %s", got)
		}
	})
}

// A cancelled job keeps its place until its work is really over.
func TestCancelHoldsItsPlace(t *testing.T) {
	var release chan bool
	slow := func(next http.Handler) http.Handler {
		release = make(chan bool)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				<-release
			}
			next.ServeHTTP(w, r)
		})
	}
	inBench(t, Config{MaxJobs: 1}, slow, func(t *testing.T, b *bench) {
		first, second := b.started(goodOrder), b.started(goodOrder)
		b.wantState("Running", first)
		b.remove(first)
		b.wantState("Cancelled", first)
		b.wantState("NotStarted", second)
		release <- true
		b.wantState("Cancelled", first) // not Finished after all
		b.wantState("Running", second)
		release <- true
		b.wantState("Finished", second)
	})
}

func TestJobFaults(t *testing.T) {
	t.Run("fail", func(t *testing.T) {
		inBench(t, Config{Faults: Faults{JobFail: 0.5, JobRun: time.Second}}, nil, func(t *testing.T, b *bench) {
			got := ""
			for range 6 {
				id := b.started(goodOrder)
				b.wantState("Running", id)
				time.Sleep(time.Second)
				synctest.Wait()
				a := b.status(id)
				got += a.StatusCode[:2]
				if a.StatusCode == "Failed" && !strings.Contains(*a.Details, "Error 1000: AFx Library library exception: The container process crashed") {
					t.Errorf("details: %s", *a.Details)
				}
			}
			if got != "FiFaFiFaFiFa" {
				t.Errorf("the jobs ended %s", got)
			}
		})
	})
	t.Run("hang", func(t *testing.T) {
		inBench(t, Config{Faults: Faults{JobHang: true}}, nil, func(t *testing.T, b *bench) {
			id := b.started(goodOrder)
			time.Sleep(100 * time.Hour)
			b.wantState("Running", id)
			b.remove(id)
			b.wantState("Cancelled", id)
		})
	})
	t.Run("flap", func(t *testing.T) {
		inBench(t, Config{Faults: Faults{JobFlap: true, JobStart: time.Minute, JobRun: time.Minute}}, nil, func(t *testing.T, b *bench) {
			id := b.started(goodOrder)
			got := ""
			for range 4 {
				for range 2 {
					a := b.status(id)
					got += a.StatusCode + " "
					if (a.Results != nil) != (a.StatusCode == "Finished") || strings.HasPrefix(a.EndTime, "0001") != (a.StatusCode != "Finished") || strings.HasPrefix(a.StartTime, "0001") != (a.StatusCode == "NotStarted") {
						t.Errorf("of two states: %+v", a)
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			if want := "NotStarted NotStarted Running NotStarted Finished Running Finished Running "; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			cancelled := b.submit(goodOrder)
			b.remove(cancelled)
			if one, two := b.status(cancelled).StatusCode, b.status(cancelled).StatusCode; one != "Cancelled" || two != "NotStarted" {
				t.Errorf("cancelled: %s, %s", one, two)
			}
		})
	})
	t.Run("lost", func(t *testing.T) {
		inBench(t, Config{Faults: Faults{JobLost: 2, JobRun: time.Minute}}, nil, func(t *testing.T, b *bench) {
			id := b.started(goodOrder)
			b.wantState("Running", id, id)
			for range 3 {
				wantRefusal(t, b.send("GET", "/jobs/"+id, ""), refusedJob)
			}
			time.Sleep(2 * time.Minute)
			if got := b.get("data", "out.csv"); got != goodOutput { // it went on
				t.Errorf("the output is %q", got)
			}
			b.remove(id)
		})
	})
	t.Run("execute is not disturbed", func(t *testing.T) {
		inBench(t, Config{Faults: Faults{JobFail: 1, JobHang: true, JobStart: time.Hour}}, nil, func(t *testing.T, b *bench) {
			wantBody(t, execute(b, hashingPath, "", goodDay), hashedPlain)
		})
	})
	t.Run("jobs are not disturbed", func(t *testing.T) {
		inBench(t, Config{Concurrency: 1, Faults: Faults{Latency: time.Hour, ErrorRate: 1, ThrottleAfter: 1, CutAnswer: true}}, nil, func(t *testing.T, b *bench) {
			b.wantState("Finished", b.started(goodOrder), b.started(goodOrder))
		})
	})
}

// Close ends what runs and waits; afterwards nothing can be started, and the
// rest is answered as before.
func TestClose(t *testing.T) {
	inBench(t, Config{MaxJobs: 1, Faults: Faults{JobHang: true}}, nil, func(t *testing.T, b *bench) {
		fresh, running, queued := b.submit(goodOrder), b.started(goodOrder), b.started(goodOrder)
		b.wantState("Running", running)
		b.Close()
		b.Close()
		b.wantState("Cancelled", running, queued)
		b.wantState("NotStarted", fresh)
		full := refusal{503, "ServiceUnavailable", "Service is temporarily unavailable.", "NoMoreResources", "No resources available for request."}
		wantRefusal(t, b.send("POST", "/jobs/"+fresh+"/start", ""), full)
		wantRefusal(t, b.send("POST", "/jobs", goodOrder), full)
		wantBody(t, execute(b, hashingPath, "", goodDay), hashedPlain)
	})
}

// Neither open nor ended jobs are kept without an end.
func TestRetention(t *testing.T) {
	t.Parallel()
	js := newJobs(featureHashing(), 1, newRunner(nil, Faults{}, mustNew(t, Config{}).cfg.Logger))
	var ids []string
	for range maxOpen {
		id, p := js.submit(order{})
		if p != nil {
			t.Fatal(p)
		}
		ids = append(ids, id)
	}
	if _, p := js.submit(order{}); p == nil || p.detail != "NoMoreResources" {
		t.Errorf("one more: %v", p)
	}
	for _, id := range ids {
		if p := js.remove(id); p != nil {
			t.Fatal(p)
		}
	}
	last, _ := js.submit(order{})
	js.remove(last)
	if len(js.all) != maxEnded || len(js.ended) != maxEnded {
		t.Errorf("%d jobs, %d ended", len(js.all), len(js.ended))
	}
	if _, p := js.ask(ids[0]); p == nil {
		t.Error("the oldest is still there")
	}
	for _, id := range []string{ids[1], last} {
		if _, p := js.ask(id); p != nil {
			t.Error("a younger one is gone")
		}
	}
}

// Many clients at once, for the race detector.
func TestParallelJobs(t *testing.T) {
	inBench(t, Config{MaxJobs: 4, Faults: Faults{JobFail: 0.25, JobFlap: true}}, nil, func(t *testing.T, b *bench) {
		done := make(chan int)
		for i := range 40 {
			go func() {
				id := b.started(goodOrder)
				for range 5 {
					send(b, newRequest("GET", b.path+"/jobs/"+id, ""))
				}
				if i%4 == 0 {
					b.remove(id)
				}
				done <- i
			}()
		}
		for range 40 {
			<-done
		}
		synctest.Wait()
		if d := b.services["feature-hashing"].jobs; d.running != 0 || len(d.waiting) != 0 {
			t.Errorf("%d run, %d wait", d.running, len(d.waiting))
		}
	})
}

func TestJobLog(t *testing.T) {
	var log strings.Builder
	inBench(t, Config{MaxJobs: 1, Logger: newLogger(&log)}, nil, func(t *testing.T, b *bench) {
		id := b.started(strings.ReplaceAll(goodOrder, "in.csv", "planted.csv?sig=planted.csv"))
		b.wantState("Failed", id)
		text := log.String()
		if !strings.Contains(text, "msg=job service=feature-hashing job="+id+" state=Failed took=0s") || !strings.Contains(text, "operation=jobs/{job}/start") {
			t.Errorf("the log is\n%s", text)
		}
		if strings.Contains(text, "planted") || strings.Contains(text, "AccountKey") {
			t.Errorf("the log tells secrets\n%s", text)
		}
	})
}

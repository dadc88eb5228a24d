package emulator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"
)

// state is where a job stands, in the words of AzureML's StatusCode; all but
// stateQueued, which is a started job that waits for its turn. AzureML has no
// word for it: the one captured status shows 18 s between CreatedAt and
// StartTime, so such a job is shown as NotStarted and without a StartTime.
type state string

const (
	stateNotStarted state = "NotStarted"
	stateQueued     state = "Queued"
	stateRunning    state = "Running"
	stateFailed     state = "Failed"
	stateCancelled  state = "Cancelled" // Microsoft's own PowerShell module waits for "Canceled", in vain
	stateFinished   state = "Finished"
)

func (s state) ended() bool {
	return s == stateFailed || s == stateCancelled || s == stateFinished
}

// job is one batch job. All but id and order is guarded by the lock of its jobs.
type job struct {
	id    string
	order order // its input is forgotten at the end: it may hold a key

	state                   state
	created, started, ended time.Time
	details                 string // why it failed
	asked                   int    // status calls so far

	cancel context.CancelFunc // of its goroutine; nil as long as it has none
}

// status is what a status call tells.
type status struct {
	state                   state
	created, started, ended time.Time
	details                 string
	outputs                 []location
}

// status is the job's as it stands.
func (j *job) status() status {
	s := status{j.state, j.created, j.started, j.ended, j.details, j.order.outputs}
	if s.state == stateQueued {
		s.state = stateNotStarted
	}
	return s
}

// before is the status one state earlier.
func (s status) before() status {
	switch {
	case s.state == stateRunning || s.started.IsZero():
		return status{state: stateNotStarted, created: s.created}
	case s.state.ended():
		return status{state: stateRunning, created: s.created, started: s.started}
	}
	return s
}

// json is the status as AzureML's JSON. Details is a text when the job failed
// and Results is a map when it finished; both are there, as null, when not.
// The tokens in the results are made here, so each call gets fresh ones.
func (s status) json(outputs []port) []byte {
	var results, details any
	switch s.state {
	case stateFinished:
		all := object{}
		for i, at := range s.outputs {
			all = append(all, member{outputs[i].name, object{
				{"ConnectionString", nil},
				{"RelativeLocation", at.relative},
				{"BaseLocation", at.base},
				{"SasBlobToken", at.token()},
			}})
		}
		results = all
	case stateFailed:
		details = s.details
	}
	return marshal(object{
		{"StatusCode", s.state},
		{"Results", results},
		{"Details", details},
		{"CreatedAt", instant(s.created)},
		{"StartTime", instant(s.started)},
		{"EndTime", instant(s.ended)},
	})
}

// instant writes a time as the captured status has it: the zero value of
// .NET's DateTimeOffset keeps its offset, where the others end in Z.
func instant(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00+00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// jobID makes an id as AzureML's: 32 hexadecimal digits.
func jobID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}

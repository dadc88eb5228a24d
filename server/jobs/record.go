package jobs

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// record is what the journal has of one job.
type record struct {
	Job   Job // without its Key, which is the store's key; State 0 is a job that nobody has seen yet
	Owner Owner
	Owned bool // submitted through here by Owner; otherwise it was seen only because somebody asked for it

	Submitted time.Time
	Request   string // the request id's key that it was submitted under

	Start start

	// Change is the revision at which the job last changed; 0 where it is this record's own. Prev is that of the change
	// before; 0 where there was none. Records that change only what callers do not see carry both on.
	Change, Prev uint64
}

// start is what is known of a job's start.
type start struct {
	Phase   phase     `json:"p,omitempty"`
	By      string    `json:"by,omitempty"` // the process that sends it; empty once it does no more
	At      time.Time `json:"at,omitzero"`
	Request string    `json:"r,omitempty"` // the request id's key that it goes by
}

type phase int

// The phases. Between asked and accepted nobody but the upstream knows.
const (
	asked    phase = iota + 1 // a start was sent, or is about to be
	accepted                  // the upstream took one
)

// wire is a record as the store has it. Times are nanoseconds since 1970, 0 for none.
type wire struct {
	State   State    `json:"s,omitempty"`
	Word    string   `json:"w,omitempty"`
	Details string   `json:"d,omitempty"`
	Results []Result `json:"res,omitempty"`

	Created  int64 `json:"c,omitempty"`
	Started  int64 `json:"b,omitempty"`
	Ended    int64 `json:"e,omitempty"`
	Observed int64 `json:"obs,omitempty"`

	Owner     []byte `json:"own,omitempty"`
	Submitted int64  `json:"sub,omitempty"`
	Request   string `json:"req,omitempty"`
	Start     *start `json:"st,omitempty"`
	Change    uint64 `json:"chg,omitempty"`
	Prev      uint64 `json:"prv,omitempty"`
}

// encode returns a record of at most limit bytes: what a module wrote about its failure is cut if it must be, and so is
// the list of results.
func (r *record) encode(limit int) []byte {
	w := wire{
		State: r.Job.State, Word: r.Job.Word, Details: r.Job.Details, Results: r.Job.Results,
		Created: nanos(r.Job.Created), Started: nanos(r.Job.Started), Ended: nanos(r.Job.Ended), Observed: nanos(r.Job.Observed),
		Submitted: nanos(r.Submitted), Request: r.Request, Change: r.Change, Prev: r.Prev,
	}
	if r.Owned {
		w.Owner = r.Owner[:]
	}
	if r.Start.Phase != 0 {
		w.Start = &r.Start
	}
	for {
		b, _ := json.Marshal(w) // strings, numbers and times in range
		switch {
		case len(b) <= limit:
			return b
		case len(w.Details) > 1<<10:
			w.Details = strings.ToValidUTF8(w.Details[:len(w.Details)/2], "") + " [cut]"
		case len(w.Results) > 0:
			w.Results = w.Results[:len(w.Results)/2]
		default:
			return b // the store says so
		}
	}
}

// decode reads a record.
func decode(key Key, b []byte) (*record, error) {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("the journal's record of a job cannot be read: %w", err)
	}
	r := &record{
		Job: Job{Key: key, State: w.State, Word: w.Word, Details: w.Details, Results: w.Results,
			Created: timeOf(w.Created), Started: timeOf(w.Started), Ended: timeOf(w.Ended), Observed: timeOf(w.Observed)},
		Submitted: timeOf(w.Submitted), Request: w.Request, Change: w.Change, Prev: w.Prev,
	}
	if len(w.Owner) == len(r.Owner) {
		r.Owner, r.Owned = Owner(w.Owner), true
	}
	if w.Start != nil {
		r.Start = *w.Start
	}
	return r, nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// names turns keys into the store's and back. A job's name there begins with its upstream's, since ids may repeat from
// one to another; dots, which part the store's keys, become "=", which no id has.
type names struct{ prefix string }

func (n names) of(k Key) string {
	return n.prefix + dotless(k.Workspace) + "." + dotless(k.Service) + "." + dotless(k.ID)
}

func (n names) key(name string) (Key, bool) {
	rest, ok := strings.CutPrefix(name, n.prefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return Key{}, false
	}
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "=", ".")
	}
	return Key{parts[0], parts[1], parts[2]}, true
}

func dotless(s string) string { return strings.ReplaceAll(s, ".", "=") }

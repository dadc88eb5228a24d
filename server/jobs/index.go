package jobs

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// entry is a job in the index: its record, and what only this process knows.
type entry struct {
	record
	revision uint64 // the store's, of the record
	written  time.Time

	observed  time.Time // when the upstream last said that the job is as it is; here or, in managed mode, anywhere
	asked     time.Time // when the upstream was last asked, managed mode
	stale     string    // why the state may be old, managed mode
	asking    bool      // a question of the queue's is under way, managed mode
	fails     int       // questions in a row without an answer, managed mode
	notBefore time.Time // of the next question, managed mode
}

// change is the revision at which the job last changed.
func (e *entry) change() uint64 {
	if e.Change != 0 {
		return e.Change
	}
	return e.revision
}

// job is the job as it is known here, for showing.
func (e *entry) job() Job {
	j := e.Job
	if e.observed.After(j.Observed) {
		j.Observed = e.observed
	}
	return j
}

// index holds all records, for lists and for telling watchers. The hub's lock guards it.
type index struct {
	entries map[Key]*entry
	owners  map[Owner][]*entry // of each owner, oldest first
	request map[string]Key     // by the request id's key, while that can be repeated
	gone    map[Key]removal    // so that nothing of before revives a job, no late record and no late answer
	sorted  bool               // lists are in order; while the first records come they are not
	adopted int                // entries of jobs that were not submitted here

	words map[string]string // workspaces, services and states, of which there are few
}

// removal is a job's deletion from the journal.
type removal struct {
	revision uint64
	at       time.Time // it was heard of
}

func newIndex() index {
	return index{entries: map[Key]*entry{}, owners: map[Owner][]*entry{}, request: map[string]Key{}, gone: map[Key]removal{}, words: map[string]string{}}
}

// one returns the one copy of a text that many records share.
func (x *index) one(s string) string {
	if w, ok := x.words[s]; ok {
		return w
	}
	if len(x.words) < 10_000 {
		x.words[s] = s
	}
	return s
}

// put takes in a record and returns its entry, with what changed; nil where a later one is known already.
func (x *index) put(key Key, r *record, revision uint64, written time.Time) *entry {
	e := x.entries[key]
	if e != nil && e.revision >= revision || x.gone[key].revision >= revision {
		return nil
	}
	key.Workspace, key.Service = x.one(key.Workspace), x.one(key.Service)
	r.Job.Key, r.Job.Word = key, x.one(r.Job.Word)
	if e != nil && e.Owned && (!r.Owned || r.Owner != e.Owner || !r.Submitted.Equal(e.Submitted)) {
		x.unlist(e)
	}
	fresh := e == nil
	if !fresh && !e.Owned {
		x.adopted--
	}
	if !r.Owned {
		x.adopted++
	}
	if fresh {
		e = &entry{}
		x.entries[key] = e
	}
	listed := !fresh && e.Owned && r.Owned && r.Owner == e.Owner && r.Submitted.Equal(e.Submitted)
	e.record, e.revision, e.written = *r, revision, written
	if r.Job.Observed.After(e.observed) {
		e.observed = r.Job.Observed
	}
	if r.Owned && !listed {
		x.list(e)
	}
	if r.Request != "" && written.Sub(r.Submitted) < store.RequestsAge {
		x.request[r.Request] = key
	}
	return e
}

// list puts an entry into its owner's list.
func (x *index) list(e *entry) {
	l := x.owners[e.Owner]
	i := len(l)
	if x.sorted {
		i, _ = slices.BinarySearchFunc(l, e.place(), func(e *entry, p place) int { return -newer(e.place(), p) })
	}
	x.owners[e.Owner] = slices.Insert(l, i, e)
}

// unlist takes an entry out of its owner's list.
func (x *index) unlist(e *entry) {
	l := x.owners[e.Owner]
	if i := slices.Index(l, e); i >= 0 {
		l = slices.Delete(l, i, i+1)
	}
	if x.owners[e.Owner] = l; len(l) == 0 {
		delete(x.owners, e.Owner)
	}
}

// sort brings all lists into order, once the first records are there.
func (x *index) sort() {
	x.sorted = true
	for _, l := range x.owners {
		slices.SortFunc(l, func(a, b *entry) int { return -newer(a.place(), b.place()) })
	}
}

// remove takes out a job that was deleted at a revision, and tells whether it was there.
func (x *index) remove(key Key, revision uint64) bool {
	e := x.entries[key]
	if e != nil && e.revision >= revision {
		return false
	}
	if x.gone[key].revision < revision {
		x.gone[key] = removal{revision, time.Now()}
	}
	if e == nil {
		return false
	}
	x.drop(e)
	return true
}

func (x *index) drop(e *entry) {
	delete(x.entries, e.Job.Key)
	if e.Owned {
		x.unlist(e)
	} else {
		x.adopted--
	}
	if x.request[e.Request] == e.Job.Key { // and not another job's, done anew for the same id
		delete(x.request, e.Request)
	}
}

// Filter says which jobs a list has.
type Filter struct {
	Owner     Owner
	Workspace string
	Service   string  // "-" for every service of the workspace
	States    []State // empty for all
}

// ErrPageToken is returned for a page token that is malformed or another filter's.
var ErrPageToken = errors.New("malformed, or another filter's; a token comes from the page before, asked for with the same filter")

// page returns at most size jobs, newest first, behind the token, and the next page's token.
func (x *index) page(f Filter, size int, token string) ([]Job, string, error) {
	after, err := readToken(f, token)
	if err != nil {
		return nil, "", err
	}
	l := x.owners[f.Owner]
	end := len(l)
	if token != "" {
		end, _ = slices.BinarySearchFunc(l, after, func(e *entry, p place) int { return -newer(e.place(), p) })
	}
	var page []Job
	for i := end - 1; i >= 0; i-- {
		e := l[i]
		if e.Job.Workspace != f.Workspace || f.Service != "-" && e.Job.Service != f.Service || e.Job.State == 0 ||
			len(f.States) > 0 && !slices.Contains(f.States, e.Job.State) {
			continue
		}
		if len(page) == size {
			last := page[size-1].Key
			return page, writeToken(f, x.entries[last].place()), nil
		}
		page = append(page, e.job())
	}
	return page, "", nil
}

// place is where a job stands in a list. It does not move: observations do not touch the time of the submit.
type place struct {
	Nanos   int64
	Service string
	ID      string
}

func (e *entry) place() place { return place{e.Submitted.UnixNano(), e.Job.Service, e.Job.ID} }

// newer orders places: newest first, then by name so that the order is whole.
func newer(a, b place) int {
	return cmp.Or(cmp.Compare(b.Nanos, a.Nanos), cmp.Compare(b.Service, a.Service), cmp.Compare(b.ID, a.ID))
}

// writeToken returns the token for what comes behind last.
func writeToken(f Filter, last place) string {
	b, _ := json.Marshal(last)
	return base64.RawURLEncoding.EncodeToString(append(f.sum(), b...))
}

func readToken(f Filter, token string) (place, error) {
	if token == "" {
		return place{}, nil
	}
	var p place
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 8 || !bytes.Equal(b[:8], f.sum()) || json.Unmarshal(b[8:], &p) != nil {
		return place{}, ErrPageToken
	}
	return p, nil
}

// sum ties a token to its filter.
func (f Filter) sum() []byte {
	h := sha256.New()
	h.Write(f.Owner[:])
	for _, part := range []string{f.Workspace, f.Service} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	states := slices.Clone(f.States)
	slices.Sort(states)
	for _, s := range slices.Compact(states) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(s)))
	}
	return h.Sum(nil)[:8]
}

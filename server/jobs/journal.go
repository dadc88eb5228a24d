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
)

// record is what the journal has of one job. The hub's lock guards it.
type record struct {
	job   Job
	owner Owner
	owned bool // submitted through here by owner; otherwise it was seen only because somebody watched it

	submitted time.Time

	// revision is the number of the last observed change, prev that of the one before; 0 where there was none. Numbers
	// are the hub's, ascending over all jobs, so that a job forgotten and met again is not taken for what it was.
	revision, prev uint64

	// touched is when the record was last written or watched, for forgetting.
	touched time.Time
}

// Retention of records in memory.
const (
	keepFor    = 30 * 24 * time.Hour
	maxRecords = 200_000
)

// journal holds the records by job.
type journal struct {
	records map[Key]*record
}

// forget drops what is older than it need be kept, and the oldest when there are too many. Watched records stay.
func (j *journal) forget(now time.Time, watched func(Key) bool) {
	for key, r := range j.records {
		if now.Sub(r.touched) > keepFor && !watched(key) {
			delete(j.records, key)
		}
	}
	if len(j.records) <= maxRecords {
		return
	}
	var old []*record
	for key, r := range j.records {
		if !watched(key) {
			old = append(old, r)
		}
	}
	slices.SortFunc(old, func(a, b *record) int { return a.touched.Compare(b.touched) })
	// A tenth more than needed, so that not every new job sorts them all.
	for _, r := range old[:min(len(old), len(j.records)-maxRecords+maxRecords/10)] {
		delete(j.records, r.job.Key)
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

// list returns at most size jobs, newest first, behind the token, and the next page's token.
func (j *journal) list(f Filter, size int, token string) ([]Job, string, error) {
	after, err := readToken(f, token)
	if err != nil {
		return nil, "", err
	}
	var found []*record
	for _, r := range j.records {
		if r.owned && r.owner == f.Owner && r.job.Workspace == f.Workspace && (f.Service == "-" || r.job.Service == f.Service) &&
			(len(f.States) == 0 || slices.Contains(f.States, r.job.State)) && (token == "" || newer(after, r.place()) < 0) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return newer(a.place(), b.place()) })
	next := ""
	if len(found) > size {
		found = found[:size]
		next = writeToken(f, found[size-1].place())
	}
	page := make([]Job, len(found))
	for i, r := range found {
		page[i] = r.job
	}
	return page, next, nil
}

// place is where a job stands in a list. It does not move: observations do not touch the time of the submit.
type place struct {
	Nanos   int64
	Service string
	ID      string
}

func (r *record) place() place {
	return place{r.submitted.UnixNano(), r.job.Service, r.job.ID}
}

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

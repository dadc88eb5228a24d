package jobs

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// Key names a job. Ids are the upstream's and may repeat from service to service.
type Key struct {
	Workspace, Service, ID string
}

// State is where a job stands; every upstream's states fall into one of these.
type State int

// The states.
const (
	NotStarted State = iota + 1
	Running
	Failed
	Cancelled
	Finished
)

// Ended reports whether a job in this state stays in it.
func (s State) Ended() bool { return s >= Failed }

// rank orders states by how far a job has come.
func (s State) rank() int { return min(int(s), int(Failed)) }

// Result is where an output of a finished job lies, without anything that opens it.
type Result struct {
	Name, BaseLocation, RelativeLocation string
}

// Job is a job as it was last observed.
type Job struct {
	Key
	State   State
	Word    string // the upstream's own for the state
	Results []Result
	Details string

	Created, Started, Ended time.Time

	// Asked is when the question was sent whose answer this is.
	Asked time.Time

	// Observed is when the upstream last said so; zero for a job that was submitted and never asked about.
	Observed time.Time
}

// same reports whether two observations tell the same, apart from when they were made. When a job was created does not
// change; until the upstream has said so once, it is the time of the submit.
func (j *Job) same(k *Job) bool {
	return j.State == k.State && j.Word == k.Word && j.Details == k.Details && slices.Equal(j.Results, k.Results) &&
		j.Started.Equal(k.Started) && j.Ended.Equal(k.Ended)
}

// Owner stands for a credential wherever one is compared or kept. It cannot be turned back.
type Owner [sha256.Size]byte

// owners turns credentials into owners, with a key that the store keeps, so that nobody else's table of hashes fits.
type owners struct{ key [32]byte }

// of returns the owner of an Authorization header. The scheme's case and blanks around the key do not matter.
func (o owners) of(authorization string) Owner {
	scheme, key, ok := strings.Cut(strings.TrimSpace(authorization), " ")
	if ok && strings.EqualFold(scheme, "bearer") {
		authorization = "bearer " + strings.TrimSpace(key)
	}
	mac := hmac.New(sha256.New, o.key[:])
	mac.Write([]byte(authorization))
	return Owner(mac.Sum(nil))
}

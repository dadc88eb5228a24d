package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// claimFor is how long another replica's claim on a request id is waited for: as long as a submit takes, give or take.
// One that took longer finds its claim gone, and takes its job back.
const claimFor = 10 * time.Second

// ErrReused is a request id that was given before, for something else.
var ErrReused = errors.New("was used with another request within the last 24 hours")

// Request is a caller's request id with what it was given for.
type Request struct {
	ID    string // a UUID
	Owner Owner  // whose it is; two callers' ids have nothing to do with each other
	Body  []byte // everything that the outcome depends on
}

// key is the request id's in the store.
func (r Request) key() string {
	return hex.EncodeToString(r.Owner[:12]) + "." + strings.ToLower(r.ID)
}

// claim is a request id's record.
type claim struct {
	Hash   []byte `json:"h"`
	By     string `json:"by,omitempty"` // the process that works on it, until there is an answer
	Done   bool   `json:"done,omitempty"`
	Answer string `json:"a,omitempty"`
}

// Once returns the answer of do, which is called once for a request id that succeeds, however often, from wherever, and
// after however many crashes Once is. Do is given the request id's key, and whether it may have been called before
// without anybody knowing how that ended. It may return undo, which takes back what it did; that is called where the
// request id got another answer meanwhile. Where do fails, the request id is free again, unless what it did may have been
// kept all the same. Errors are ErrReused, do's own, the
// store's and the context's.
func (h *Hub) Once(ctx context.Context, req Request, do func(ctx context.Context, request string, again bool) (answer string, undo func(), err error)) (string, error) {
	if err := h.awaitLoaded(ctx); err != nil {
		return "", err
	}
	key := req.key()
	release, err := h.locks.take(ctx, "request "+key)
	if err != nil {
		return "", err
	}
	defer release()
	sum := sha256.Sum256(req.Body)
	mine := claim{Hash: sum[:16], By: h.instance}
	var spare outcomes
	for {
		revision, again, answer, err := h.claim(ctx, key, mine)
		if err != nil {
			return "", err
		}
		if answer != nil {
			spare.undo(*answer)
			return *answer, nil
		}
		given, undo, err := do(ctx, key, again)
		settle := context.WithoutCancel(ctx)
		if err != nil && unsure(err) {
			return "", err // the claim stays: the next call with this id looks first for what was done
		}
		if err != nil {
			if freed := h.requests.Delete(settle, keepFor, key, revision); freed != nil && !errors.Is(freed, store.ErrConflict) {
				h.log.Warn("a request id stays taken for now", "error", freed)
			}
			return "", err
		}
		done := mine
		done.By, done.Done, done.Answer = "", true, given
		_, err = h.requests.Update(settle, keepFor, key, encodeClaim(done), revision)
		if !errors.Is(err, store.ErrConflict) {
			if err != nil {
				// The next call with this id finds the work done, as after a crash.
				h.log.Warn("the answer to a request id was not written down", "error", err)
			}
			spare.undo(given)
			return given, nil
		}
		// Another has taken the claim over. It may have found what was done here and answer with that, or do it anew: what it
		// writes down decides.
		spare = append(spare, outcome{given, undo})
		ctx = settle // whoever calls: what is spare is to be taken back
	}
}

// unsure reports whether an error leaves open what was done.
func unsure(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// outcomes are what was done for a request id whose claim was gone afterwards.
type outcomes []outcome

type outcome struct {
	answer string
	undo   func() // may be nil
}

// undo takes back all but what was answered.
func (all outcomes) undo(answered string) {
	for _, o := range all {
		if o.undo != nil && o.answer != answered {
			o.undo()
		}
	}
}

func encodeClaim(c claim) []byte {
	b, _ := json.Marshal(c) // bytes and strings
	return b
}

// claim takes a request id, or returns its answer. Again says that somebody held it before and did not say how it ended.
func (h *Hub) claim(ctx context.Context, key string, mine claim) (revision uint64, again bool, answer *string, err error) {
	var waiting time.Time
	var waited uint64 // the revision waited for
	for {
		revision, err = h.requests.Create(ctx, keepFor, key, encodeClaim(mine))
		if !errors.Is(err, store.ErrConflict) {
			return revision, false, nil, err
		}
		e, err := h.requests.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, false, nil, err
		}
		var theirs claim
		if err := json.Unmarshal(e.Value, &theirs); err != nil || !bytes.Equal(theirs.Hash, mine.Hash) {
			return 0, false, nil, ErrReused
		}
		if theirs.Done {
			return 0, false, &theirs.Answer, nil
		}
		if waited != e.Revision {
			waited, waiting = e.Revision, time.Now()
		}
		// One of this process' own is no longer worked on, since its lock is held here.
		if theirs.By == h.instance || h.alone || time.Since(waiting) >= claimFor {
			revision, err := h.requests.Update(ctx, keepFor, key, encodeClaim(mine), e.Revision)
			if !errors.Is(err, store.ErrConflict) {
				return revision, true, nil, err
			}
			continue
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return 0, false, nil, ctx.Err()
		}
	}
}

// Submitted returns the job that was kept under a request id's key, in this process or one before.
func (h *Hub) Submitted(ctx context.Context, request string) (Key, bool, error) {
	if err := h.catchUp(ctx); err != nil {
		return Key{}, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key, ok := h.index.request[request]
	return key, ok, nil
}

// Withdraw takes a job back that was kept and will not be answered to anybody.
func (h *Hub) Withdraw(key Key) {
	if err := h.forget(context.WithoutCancel(h.ctx), observeFor, key); err != nil {
		h.log.Warn("a job that nobody was told of stays in the journal", "error", err)
	}
}

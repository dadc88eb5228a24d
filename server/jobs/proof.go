package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/amlgate/amlgate/server/store"
)

// proof is that a credential opened a job.
type proof struct {
	key   Key
	owner Owner
}

// maxProofs bounds the proofs kept; beyond it the outdated ones are dropped, and if there are none, all: they can be
// asked for again.
const maxProofs = 100_000

// prove notes that a credential just opened a job. The hub is locked.
func (h *Hub) prove(key Key, owner Owner) {
	now := time.Now()
	if len(h.proofs) >= maxProofs {
		for p, at := range h.proofs {
			if now.Sub(at) >= h.cfg.ProofAge {
				delete(h.proofs, p)
			}
		}
		if len(h.proofs) >= maxProofs {
			clear(h.proofs)
		}
	}
	h.proofs[proof{key, owner}] = now
}

func (h *Hub) disprove(key Key, owner Owner) { delete(h.proofs, proof{key, owner}) }

// proven reports whether a credential opened a job not long ago. The hub is locked.
func (h *Hub) proven(key Key, owner Owner) bool {
	if h.upstream.Managed {
		return true // by the front
	}
	at, ok := h.proofs[proof{key, owner}]
	return ok && time.Since(at) < h.cfg.ProofAge
}

// Proven is told of a credential that a caller just read a job with.
func (h *Hub) Proven(key Key, header http.Header) {
	owner := h.Owner(header)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prove(key, owner)
}

// read asks the upstream about a job with a caller's credential, which proves it. Callers with the same credential share
// one question; a caller who goes away does not take it from the others.
func (h *Hub) read(ctx context.Context, key Key, owner Owner, header http.Header) error {
	select {
	case a := <-h.question(ctx, key, owner, header):
		return a.Err
	case <-h.draining:
		return ErrDraining
	case <-ctx.Done():
		return ctx.Err()
	}
}

// question is read without waiting for the answer.
func (h *Hub) question(ctx context.Context, key Key, owner Owner, header http.Header) <-chan singleflight.Result {
	name := key.Workspace + "\x00" + key.Service + "\x00" + key.ID + "\x00" + string(owner[:])
	return h.flights.DoChan(name, func() (any, error) {
		job, err := h.upstream.Ask(context.WithoutCancel(ctx), key, header)
		h.mu.Lock()
		switch {
		case err == nil:
			h.prove(key, owner)
		case errors.Is(err, ErrDenied), errors.Is(err, ErrGone):
			h.disprove(key, owner)
		}
		h.mu.Unlock()
		if err != nil {
			return nil, err
		}
		// Its turn may be far off, and callers wait for it as long as they like.
		err = h.observe(h.ctx, observeFor, job)
		switch {
		case err == nil || h.State(key) != 0:
			return nil, nil
		case h.ctx.Err() != nil:
			return nil, ErrDraining
		}
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err) // nothing is known that a watch could begin with
	})
}

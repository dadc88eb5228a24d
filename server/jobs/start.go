package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// How long a start that another process sends may be under way, and how often it is asked about meanwhile. A start that
// takes longer is ended, with its fate unknown.
const (
	startFor  = 15 * time.Second
	startAsks = 500 * time.Millisecond
)

// ErrStartUnknown is a start that took too long to wait for.
var ErrStartUnknown = errors.New("the upstream did not answer the start within 15s; the job may have started")

// StartedError is a job that was started before.
type StartedError struct{ Word string }

// Error says so in AzureML's words.
func (e *StartedError) Error() string {
	return fmt.Sprintf("The job cannot be started because it is in %s state.", e.Word)
}

// Start starts a job by send, unless that was done before. The record says first that a start is about to be sent; while
// the fate of one is not known, the upstream is asked about the job, with the caller's header, and a new one is sent only
// where it says that the job has not started and nobody else may be sending one. Request is the key of the request id
// that the caller gave, or empty: a start by the same one is the caller's own, and succeeds.
//
// Errors are a *StartedError, send's own (an ErrRefused where nothing can have happened), Ask's, the store's and the
// context's.
func (h *Hub) Start(ctx context.Context, key Key, header http.Header, request string, send func(context.Context) error) error {
	if err := h.awaitLoaded(ctx); err != nil {
		return err
	}
	release, err := h.locks.take(ctx, "start "+h.names.of(key))
	if err != nil {
		return err
	}
	defer release()
	for conflicts := 0; conflicts < maxConflicts; {
		r, last := h.copy(key)
		before := r.Start
		if before.Phase != 0 {
			if err := h.started(ctx, key, header, &r, request); err != nil || r.Start.Phase == 0 {
				return err
			}
			if before.By != "" && before.By != h.instance && !h.alone && time.Since(before.At) < startFor+time.Second {
				select {
				case <-time.After(startAsks): // it may be under way
				case <-ctx.Done():
					return ctx.Err()
				}
				continue
			}
			// The record may have changed while the upstream was asked; the compare-and-set below finds out.
			if r, last = h.copy(key); r.Start != before {
				continue
			}
		}
		r.Start = start{Phase: asked, By: h.instance, At: time.Now(), Request: request}
		err := h.write(ctx, keepFor, key, &r, last)
		if errors.Is(err, store.ErrConflict) {
			conflicts++
			continue
		}
		if err != nil {
			return err
		}
		return h.sendStart(ctx, key, before, request, send)
	}
	return errConflicts
}

// started asks the upstream about a job that a start was sent for. It returns an error, or nil with r's phase at 0 where
// the start has happened and is the caller's own, or nil where nothing is known to have happened.
func (h *Hub) started(ctx context.Context, key Key, header http.Header, r *record, request string) error {
	job, err := h.upstream.Ask(ctx, key, header)
	if err != nil {
		return err
	}
	h.Proven(key, header)
	h.Observed(ctx, job)
	if r.Start.Phase != accepted && job.State == NotStarted {
		return nil
	}
	if request != "" && r.Start.Request == request {
		r.Start.Phase = 0
		return nil
	}
	return &StartedError{job.Word}
}

// sendStart sends a start that the record announces, and writes down what became of it.
func (h *Hub) sendStart(ctx context.Context, key Key, before start, request string, send func(context.Context) error) error {
	own, cancel := context.WithTimeout(ctx, startFor)
	err := send(own)
	if own.Err() != nil && ctx.Err() == nil && err != nil {
		err = fmt.Errorf("%w: %w", ErrStartUnknown, err)
	}
	cancel()
	after := start{Phase: asked, At: time.Now(), Request: request} // unknown, and nobody is sending
	switch {
	case err == nil:
		after.Phase = accepted
	case errors.Is(err, ErrStarted) && before.Phase == asked:
		// The one before, whose fate was not known, and of which the upstream told nothing yet when it was asked.
		after.Phase, after.Request = accepted, before.Request
		if request != "" && before.Request == request {
			err = nil
		}
	case errors.Is(err, ErrRefused):
		if after = before; after.Phase == asked {
			after.By = ""
		}
	}
	// The caller may be gone; others need to know all the same.
	settle := context.WithoutCancel(ctx)
	empty := false
	wrote := h.update(settle, keepFor, key, func(r *record, found bool) bool {
		if !found || r.Start.By != h.instance {
			return false // removed, or another has taken over
		}
		r.Start = after
		empty = after.Phase == 0 && r.Job.State == 0 && !r.Owned
		return !empty
	})
	if wrote == nil && empty {
		wrote = h.forget(settle, keepFor, key)
	}
	if wrote != nil {
		h.log.Warn("what became of a start was not written down; the upstream is asked before the next", "error", wrote)
	}
	if err == nil && h.upstream.Managed {
		h.enqueue(key)
	}
	return err
}

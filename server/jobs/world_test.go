package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// world is the upstream, and the truth.
type world struct {
	mu     sync.Mutex
	jobs   map[Key]*truth
	down   bool
	number int // of jobs
	asks   int
}

type truth struct {
	state State
	steps int // of its running, so that a job has more changes than states
	taken int // starts that were taken
}

// ask answers what was true when it was asked, some time later.
func (w *world) ask(_ context.Context, key Key, _ http.Header) (Job, error) {
	asked := time.Now()
	job, err := w.answer(key)
	w.mu.Lock()
	w.asks++
	took := time.Duration(w.asks*w.asks%7) * 300 * time.Millisecond
	w.mu.Unlock()
	time.Sleep(took)
	job.Asked, job.Observed = asked, time.Now()
	return job, err
}

func (w *world) answer(key Key) (Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[key]
	switch {
	case w.down:
		return Job{}, errors.New("down")
	case j == nil:
		return Job{}, ErrGone
	}
	word := "NotStarted"
	if j.state != NotStarted {
		word = fmt.Sprint(j.state, ".", j.steps)
	}
	return Job{Key: key, State: j.state, Word: word, Created: epochDay}, nil
}

var epochDay = time.Date(2016, 10, 14, 0, 0, 0, 0, time.UTC)

func (w *world) create() (Key, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return Key{}, errors.New("down")
	}
	w.number++
	key := Key{"w1", "s1", fmt.Sprint("j", w.number)}
	w.jobs[key] = &truth{state: NotStarted}
	return key, nil
}

// fate is what becomes of a start on its way.
type fate int

const (
	goesWell fate = iota
	isLost        // before it arrives, and nobody knows
	isUnanswered
	killsSender // after it has arrived
	fates
)

func (w *world) start(key Key, f fate) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[key]
	switch {
	case w.down:
		return fmt.Errorf("down: %w", ErrRefused)
	case f == isLost:
		return errors.New("lost")
	case j == nil:
		return fmt.Errorf("%w: %w", ErrGone, ErrRefused)
	case j.state != NotStarted:
		return fmt.Errorf("started: %w", ErrRefused)
	}
	j.state = Running
	j.taken++
	switch f {
	case isUnanswered:
		return errors.New("no answer")
	case killsSender:
		panic("killed")
	}
	return nil
}

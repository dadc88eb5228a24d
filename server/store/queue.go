package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Delivery is a key of the queue, handed to one replica until its next step. Done takes it out of the queue; without it,
// the key comes again, here or elsewhere, after the step that its count stands for.
type Delivery struct {
	Key   string
	Count int // how often the key was handed out, from 1
	Done  func()
}

// Queue is a set of keys that come round again and again until they are done. It lives in memory and must be filled anew
// after a loss: adding a key that is there does nothing.
type Queue struct {
	store    *Store
	steps    []time.Duration
	consumer jetstream.Consumer
	deafFor  time.Duration // how long nobody may answer before the queue is taken for gone
}

// deafFor is longer than servers take to choose a leader, nearly always.
const deafFor = 10 * time.Second

// OpenQueue declares the queue; a key comes again after the first step, then the second; the last one repeats.
func (s *Store) OpenQueue(ctx context.Context, steps []time.Duration) (*Queue, error) {
	q := &Queue{store: s, steps: steps, deafFor: deafFor}
	if err := q.declare(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *Queue) declare(ctx context.Context) error {
	err := q.store.ask(ctx, func(ctx context.Context) error {
		_, err := q.store.js.CreateOrUpdateStream(ctx, pollStream(q.store.replicas))
		return err
	})
	if err == nil {
		err = q.store.ask(ctx, func(ctx context.Context) (err error) {
			q.consumer, err = q.store.js.CreateOrUpdateConsumer(ctx, pollsStream, pollConsumer(q.steps))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("the poll queue: %w", err)
	}
	return nil
}

// Add puts a key into the queue. The error is an ErrUnavailable: one that is worth another try in a while.
func (q *Queue) Add(ctx context.Context, key string) error {
	own, cancel := context.WithTimeout(ctx, quickTimeout)
	defer cancel()
	_, err := q.store.js.Publish(own, pollsSubject+key, nil, jetstream.WithRetryAttempts(0))
	var said *jetstream.APIError
	if errors.As(err, &said) && said.ErrorCode == 10077 { // one message a subject: the key is there
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// queueBeat is how often the queue says that it is there while there is nothing to hand out. A replica that misses two
// asks anew: whom it asked before may have died, or lead no longer.
const queueBeat = 500 * time.Millisecond

// Take calls handle for each key that this replica is handed, from one goroutine that must not be held up, and anew where
// the queue had to be made anew and is empty. It ends with ctx, or with the store; done is closed then.
func (q *Queue) Take(ctx context.Context, handle func(Delivery), anew func()) (done <-chan struct{}, err error) {
	consuming, err := q.consume(handle)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for consuming != nil {
			select {
			case <-ctx.Done():
			case <-q.store.ended:
			case <-consuming.Closed():
				if consuming = q.again(ctx, handle); consuming != nil {
					anew()
				}
				continue
			}
			consuming.Stop()
			<-consuming.Closed()
			return
		}
	}()
	return ended, nil
}

// again makes the queue anew, which somebody has removed, and takes from it; nil where there is no use in that any more.
func (q *Queue) again(ctx context.Context, handle func(Delivery)) jetstream.ConsumeContext {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.store.ended:
			return nil
		case <-time.After(time.Second):
		}
		if q.declare(ctx) != nil {
			continue
		}
		if consuming, err := q.consume(handle); err == nil {
			q.store.log.Warn("the poll queue was gone and is made anew")
			return consuming
		}
	}
}

// consume begins to take.
func (q *Queue) consume(handle func(Delivery)) (jetstream.ConsumeContext, error) {
	// Few at a time and for a short while: what was handed to a replica that is cut off waits for its step to pass.
	var deaf atomic.Pointer[time.Time] // since when nobody has answered
	consuming, err := q.consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return
		}
		handle(Delivery{Key: m.Subject()[len(pollsSubject):], Count: int(meta.NumDelivered), Done: func() { _ = m.Ack() }})
	}, jetstream.PullMaxMessages(64), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(queueBeat), jetstream.ConsumeErrHandler(func(c jetstream.ConsumeContext, err error) {
		// The queue lives in memory, and a server that starts again has none: nobody answers then, which is no reason for
		// nats.go to stop. While servers choose a leader nobody does either, but that passes.
		if now := time.Now(); errors.Is(err, nats.ErrNoResponders) && !deaf.CompareAndSwap(nil, &now) && now.Sub(*deaf.Load()) >= q.deafFor {
			c.Stop()
		}
	}))
	if err != nil {
		return nil, fmt.Errorf("the poll queue: %w", err)
	}
	return consuming, nil
}

// Say sends a short notice to every replica that hears the topic now, this one too. It may be lost.
func (s *Store) Say(topic string, data []byte) { _ = s.conn.Publish("amlgate."+topic, data) }

// Hear calls each for every notice of a topic, from one goroutine, until stop is called.
func (s *Store) Hear(topic string, each func(data []byte)) (stop func(), err error) {
	sub, err := s.conn.Subscribe("amlgate."+topic, func(m *nats.Msg) { each(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

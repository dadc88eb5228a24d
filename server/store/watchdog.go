package store

import (
	"context"
	"fmt"
	"time"
)

// The watchdog's rounds: the mark is synced each second, room is looked at as often, a bucket's size less.
const (
	round      = time.Second
	sizeRounds = 5
)

// lowDisk is the free space below which new work is refused: a twentieth of the disk, but no more than what the buckets
// could still write in the time it takes to notice and act.
func lowDisk(total uint64) uint64 { return min(total/20, 256<<20) }

// startWatchdog looks after the mark and after room.
func (s *Store) startWatchdog(data string) {
	bucket := s.fullBucket()
	s.judge(data, bucket)
	s.guard.Go(func() {
		t := time.NewTicker(round)
		defer t.Stop()
		for n := 1; ; n++ {
			select {
			case <-s.ended:
				return
			case <-t.C:
			}
			if err := s.mark.sync(); err != nil {
				s.fail(err)
			}
			if n%sizeRounds == 0 {
				bucket = s.fullBucket()
			}
			s.judge(data, bucket)
		}
	})
}

// judge decides whether there is room for new work.
func (s *Store) judge(data string, full error) {
	if data != "" {
		if free, total, err := diskSpace(data); err == nil && free < lowDisk(total) {
			full = fmt.Errorf("%w: --data: %d MiB are free on its disk; new jobs are refused below %d MiB", ErrFull, free>>20, lowDisk(total)>>20)
		}
	}
	before := s.Full()
	if full == nil {
		s.full.Store(nil)
		if before != nil {
			s.log.Info("the store has room again")
		}
		return
	}
	s.full.Store(&full)
	if before == nil {
		s.log.Error("new jobs are refused", "error", full)
	}
}

// fullBucket returns an error once a bucket is at nine tenths: what is there must still be able to change.
func (s *Store) fullBucket() error {
	for _, b := range s.buckets {
		info, err := s.streamInfo(context.Background(), "KV_"+b.spec.name)
		if err == nil && int64(info.State.Bytes) > b.spec.bytes/10*9 {
			return fmt.Errorf("%w: bucket %s has %d of %d KiB; records leave it %s after their last change",
				ErrFull, b.spec.name, info.State.Bytes>>10, b.spec.bytes>>10, b.spec.age)
		}
	}
	return nil
}

package logline_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amlgate/amlgate/server/logline"
)

// sheet keeps what is written to it, and how often something was.
type sheet struct {
	mu    sync.Mutex
	text  []byte
	count int
	err   error // of every write
}

func (s *sheet) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.text = append(s.text, p...)
	return len(p), s.err
}

func (s *sheet) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

func (s *sheet) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func say(t *testing.T, g *logline.Gatherer, line string) {
	t.Helper()
	if n, err := g.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("%d bytes of %d were taken: %v", n, len(line), err)
	}
}

// TestLinesAreWrittenTogether: those of a moment with one write, when it is over, and none is kept for longer.
func TestLinesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to sheet
		g := logline.NewGatherer(&to, 5*time.Millisecond)
		for round := range 3 {
			want := to.String() + "a\nb\nc\n"
			say(t, g, "a\n")
			time.Sleep(2 * time.Millisecond)
			say(t, g, "b\n")
			say(t, g, "c\n")
			if to.writes() != round {
				t.Fatalf("round %d: they are written at once", round)
			}
			time.Sleep(3*time.Millisecond + 1)
			synctest.Wait()
			if to.String() != want || to.writes() != round+1 {
				t.Fatalf("round %d: %d writes in all, of %q, want %q", round, to.writes(), &to, want)
			}
		}
	})
}

// TestManyLinesAreWrittenAtOnce: what is held is bounded, and who filled it up learns the error.
func TestManyLinesAreWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := sheet{err: errors.New("full")}
		g := logline.NewGatherer(&to, time.Hour)
		line := strings.Repeat("x", 1<<10-1) + "\n"
		for range 31 {
			say(t, g, line)
		}
		if _, err := g.Write([]byte(line)); !errors.Is(err, to.err) || len(to.String()) != 32<<10 || to.writes() != 1 {
			t.Errorf("%d bytes with %d writes: %v", len(to.String()), to.writes(), err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if to.writes() != 1 {
			t.Error("something is written although nothing is held")
		}
	})
}

func TestFlush(t *testing.T) {
	to := sheet{err: errors.New("full")}
	g := logline.NewGatherer(&to, time.Hour)
	if err := g.Flush(); err != nil || to.writes() != 0 {
		t.Errorf("nothing is held: %v, %d writes", err, to.writes())
	}
	say(t, g, "a\n")
	if err := g.Flush(); !errors.Is(err, to.err) || to.String() != "a\n" {
		t.Errorf("%q is written: %v", &to, err)
	}
}

// TestWarningsAreWrittenAtOnce: with what came before them.
func TestWarningsAreWrittenAtOnce(t *testing.T) {
	var to sheet
	log := slog.New(logline.New(logline.NewGatherer(&to, time.Hour), logline.Text, slog.LevelInfo))
	log.Info("first")
	if to.writes() != 0 {
		t.Errorf("%q is written at once", &to)
	}
	log.Warn("second")
	if got := to.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "msg=first") || !strings.Contains(got, "msg=second") || to.writes() != 1 {
		t.Errorf("%d writes of %q", to.writes(), got)
	}
	log.WithGroup("g").Error("third", "k", "two words")
	if got := to.String(); !strings.HasSuffix(got, "msg=third g.k=\"two words\"\n") {
		t.Errorf("%q", got)
	}
}

// TestGathererKeepsLinesWhole has many write at once: each line is there once, whole, and each writer's in order.
func TestGathererKeepsLinesWhole(t *testing.T) {
	const writers, lines = 8, 3000
	var to sheet
	g := logline.NewGatherer(&to, time.Microsecond)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range lines {
				_, _ = fmt.Fprintf(g, "%d %d\n", w, i)
			}
		})
	}
	all.Wait()
	if err := g.Flush(); err != nil {
		t.Fatal(err)
	}
	var next [writers]int
	for line := range strings.Lines(to.String()) {
		var w, i int
		if n, err := fmt.Sscanf(line, "%d %d\n", &w, &i); n != 2 || err != nil || w >= writers || i != next[w] {
			t.Fatalf("%q comes where writer %d is at %d: %v", line, w, next[min(w, writers-1)], err)
		}
		next[w]++
	}
	for w, n := range next {
		if n != lines {
			t.Errorf("%d lines of writer %d, want %d", n, w, lines)
		}
	}
}

package jobs

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/store"
)

// fill puts many jobs of a few owners into a journal.
func fill(t testing.TB, h *Hub, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for i := c; i < n; i += 32 {
				key := Key{"w1", fmt.Sprint("s", i%5), fmt.Sprintf("%032d", i)}
				if err := h.Keep(t.Context(), key, h.Owner(keyed(fmt.Sprint("k", i%10))), ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Many jobs are listed whole, in order and without repeats: thousands read back by another process, and a hundred thousand
// in the index, where BenchmarkStart reads as many back.
func TestManyJobs(t *testing.T) {
	h := newHub(t, Config{}, newUpstream().ask)
	fill(t, h, 3000)
	h.Drain()
	h = hubOn(t, h.store, Config{}, newUpstream().ask)
	wantAll(t, h, 300)

	const n = 100_000
	h.mu.Lock()
	for i := range n {
		key := Key{"w1", fmt.Sprint("s", i%5), fmt.Sprint("late", i)}
		at := time.Now().Add(time.Duration(i/3) * time.Microsecond) // some at the same time
		r := record{Job: Job{Key: key, State: Running, Created: at}, Owner: h.Owner(keyed("k3")), Owned: true, Submitted: at}
		h.index.put(key, &r, uint64(1_000_000+i), at)
	}
	h.mu.Unlock()
	wantAll(t, h, n+300)
}

func wantAll(t *testing.T, h *Hub, n int) {
	t.Helper()
	filter := Filter{Owner: h.Owner(keyed("k3")), Workspace: "w1", Service: "-"}
	seen := map[string]bool{}
	var last time.Time
	for token := ""; ; {
		page, next, err := h.List(t.Context(), filter, 1000, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page {
			if seen[j.ID] || !last.IsZero() && j.Created.After(last) {
				t.Fatalf("%s twice, or out of order", j.ID)
			}
			seen[j.ID], last = true, j.Created
		}
		if token = next; token == "" {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("%d listed of %d", len(seen), n)
	}
}

// BenchmarkStart measures how long a process with 100,000 jobs in its journal takes from the start until it can answer,
// lists included, and what a page costs then.
func BenchmarkStart(b *testing.B) {
	cfg := store.Config{Data: b.TempDir()}
	begin := func() *Hub {
		s, err := store.Open(b.Context(), cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		h, err := NewHub(s, Upstream{Name: "u1", Ask: newUpstream().ask}, Config{}, silent)
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	end := func(h *Hub) {
		h.Drain()
		h.store.Close()
	}
	h := begin()
	fill(b, h, 100_000)
	end(h)
	var opened, page time.Duration
	b.ResetTimer()
	for range b.N {
		at := time.Now()
		h := begin()
		opened += time.Since(at)
		<-h.Loaded()
		b.StopTimer()
		at = time.Now()
		if got, _, err := h.List(b.Context(), Filter{Owner: h.Owner(keyed("k3")), Workspace: "w1", Service: "s3"}, 100, ""); err != nil || len(got) != 100 {
			b.Fatal(len(got), err)
		}
		page += time.Since(at)
		end(h)
		b.StartTimer()
	}
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "open-ms/op")
	b.ReportMetric(float64(page.Microseconds())/float64(b.N), "page-us/op")
}

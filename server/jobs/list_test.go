package jobs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestListPagesNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		h := newHub(t, Config{}, up.ask)
		defer h.Drain()
		a, b := h.Owner(keyed("a")), h.Owner(keyed("b"))
		for i := range 25 {
			keep(t, h, Key{"w1", fmt.Sprint("s", i%2), fmt.Sprintf("j%02d", i)}, a)
			if i%5 != 0 { // some in the same moment
				time.Sleep(time.Second)
			}
		}
		keep(t, h, Key{"w1", "s0", "others"}, b)
		keep(t, h, Key{"w2", "s0", "elsewhere"}, a)

		filter := Filter{Owner: a, Workspace: "w1", Service: "-"}
		var got []string
		token := ""
		for pages := 0; ; pages++ {
			page, next, err := h.List(t.Context(), filter, 10, token)
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range page {
				got = append(got, job.ID)
			}
			if pages == 0 {
				// What is submitted while somebody turns pages does not move the others.
				keep(t, h, Key{"w1", "s0", "late"}, a)
			}
			if token = next; token == "" {
				break
			}
		}
		if len(got) != 25 || got[0] != "j24" || got[24] != "j00" && got[24] != "j01" || strings.Join(got, " ") != strings.Join(unique(got), " ") {
			t.Errorf("%d: %v", len(got), got)
		}
		_, token, _ = h.List(t.Context(), filter, 10, "")
		for name, other := range map[string]Filter{
			"owner": {Owner: b, Workspace: "w1", Service: "-"}, "workspace": {Owner: a, Workspace: "w2", Service: "-"},
			"service": {Owner: a, Workspace: "w1", Service: "s0"}, "states": {Owner: a, Workspace: "w1", Service: "-", States: []State{Running}},
		} {
			if _, _, err := h.List(t.Context(), other, 10, token); !errors.Is(err, ErrPageToken) {
				t.Errorf("a token of another %s: %v", name, err)
			}
		}
		for _, bad := range []string{"x", token[1:], token + "AAAA", "!"} {
			if _, _, err := h.List(t.Context(), filter, 10, bad); !errors.Is(err, ErrPageToken) {
				t.Errorf("token %q: %v", bad, err)
			}
		}
		page, _, _ := h.List(t.Context(), Filter{Owner: a, Workspace: "w1", Service: "s1"}, 100, "")
		if len(page) != 12 {
			t.Errorf("%d jobs of one service", len(page))
		}
		h.Observed(t.Context(), Job{Key: Key{"w1", "s1", "j03"}, State: Running, Word: "Running", Observed: time.Now()})
		page, _, _ = h.List(t.Context(), Filter{Owner: a, Workspace: "w1", Service: "-", States: []State{Running, Finished}}, 100, "")
		if len(page) != 1 || page[0].ID != "j03" {
			t.Errorf("by state: %v", page)
		}
	})
}

func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

func TestOwnersDoNotDependOnSpelling(t *testing.T) {
	o := owners{[32]byte{1}}
	for _, same := range []string{"bearer k1", "BEARER   k1", "  Bearer k1 "} {
		if o.of(same) != o.of("Bearer k1") {
			t.Errorf("%q is another owner", same)
		}
	}
	for _, other := range []string{"Bearer k2", "k1", "Basic k1", "", "Bearer K1"} {
		if o.of(other) == o.of("Bearer k1") {
			t.Errorf("%q is the same owner", other)
		}
	}
	if (owners{[32]byte{2}}).of("Bearer k1") == o.of("Bearer k1") {
		t.Error("the hash has no key")
	}
}

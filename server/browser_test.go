package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestWatchInABrowser reads a watch in a real browser through a proxy that drops the connection once: no event is lost
// and none is repeated.
func TestWatchInABrowser(t *testing.T) {
	needs(t, "chromium")
	up := newFakeJobs(t)
	up.set("j1", "NotStarted")
	page := httptest.NewServer(http.FileServer(http.Dir("testdata/clients/browser")))
	t.Cleanup(page.Close)
	cfg := watchConfig(up)
	cfg.CORSOrigin = []string{page.URL}
	proxy := newDroppingProxy(t, start(t, cfg).HTTPAddr())

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	defer stopAllocator()
	ctx, stop := chromedp.NewContext(allocator)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	target := page.URL + "/watch.html?key=k1&url=" + url.QueryEscape("http://"+proxy.addr+watchPath)
	waitFor := func(condition string) {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Poll[bool](condition)); err != nil {
			title, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.title"))
			t.Fatalf("waiting for %s: %v (the page says %q)", condition, err, title)
		}
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(target)); err != nil {
		t.Fatal(err)
	}
	waitFor("events.length >= 1")
	up.set("j1", "Running")
	waitFor("events.length >= 2")
	if proxy.drop() == 0 {
		t.Fatal("there was no connection to drop")
	}
	up.set("j1", "Finalizing")
	waitFor("events.length >= 3")
	up.set("j1", "Finished")
	waitFor("done")
	events, err := chromedp.Run(ctx, chromedp.Evaluate[[]string]("events"))
	if err != nil {
		t.Fatal(err)
	}
	drops, err := chromedp.Run(ctx, chromedp.Evaluate[int]("drops"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(events, " "), "NotStarted Running Finalizing Finished REASON_TERMINAL"; got != want || drops != 1 {
		t.Errorf("the browser saw %q with %d drops, want %q with one", got, drops, want)
	}
}

package blob

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConditions has every condition that holds or fails, alone and together, for a read and a write of box/a.
func TestConditions(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	etag := send(e, "HEAD", "/box/a", "").Header().Get("ETag")
	bare := strings.Trim(etag, `"`)
	modified := send(e, "HEAD", "/box/a", "").Header().Get("Last-Modified")
	before := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	const other = `"0x1"`
	for _, tt := range []struct {
		headers string // parted by |
		read    int
		write   int
	}{
		{"If-Match: " + etag, 200, 200},
		{"If-Match: " + bare, 200, 200},
		{"If-Match: *", 200, 200},
		{"If-Match: " + other, 412, 412},
		{"If-Match: W/" + etag, 412, 412},
		{"If-Match: " + other + ", " + etag, 200, 400},
		{"If-None-Match: " + etag, 304, 412},
		{"If-None-Match: " + other, 200, 200},
		{"If-None-Match: *", 400, 412},
		{"If-Modified-Since: " + before, 200, 200},
		{"If-Modified-Since: " + modified, 304, 412},
		{"If-Unmodified-Since: " + before, 412, 412},
		{"If-Unmodified-Since: " + modified, 200, 200},
		// Of these two one suffices for a read; the ETag decides for a write.
		{"If-None-Match: " + other + "|If-Modified-Since: " + modified, 200, 200},
		{"If-None-Match: " + etag + "|If-Modified-Since: " + before, 200, 412},
		{"If-None-Match: " + etag + "|If-Modified-Since: " + modified, 304, 412},
		// And of these both must hold.
		{"If-Match: " + etag + "|If-Unmodified-Since: " + before, 412, 200},
		{"If-Match: " + etag + "|If-None-Match: " + other, 200, 400},
		{"If-Match: " + etag + "|If-None-Match: " + etag, 304, 400},
	} {
		headers := strings.Split(tt.headers, "|")
		if got := send(e, "GET", "/box/a", "", headers...).Code; got != tt.read {
			t.Errorf("read with %s: %d, want %d", tt.headers, got, tt.read)
		}
		// A write makes a new version; the conditions are about the old one.
		fresh := stocked(t)
		fresh.store.containers["box"].entries["a"].blob.stamp = e.store.containers["box"].entries["a"].blob.stamp
		if got := send(fresh, "PUT", "/box/a?comp=metadata", "", headers...).Code; got != tt.write {
			t.Errorf("write with %s: %d, want %d", tt.headers, got, tt.write)
		}
	}
}

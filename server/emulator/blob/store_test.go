package blob

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	for _, tt := range []struct {
		header, body, contentRange string
		status                     int
	}{
		{"", "0123456789", "", 200},
		{"bytes=0-", "0123456789", "bytes 0-9/10", 206},
		{"bytes=0-0", "0", "bytes 0-0/10", 206},
		{"bytes=3-5", "345", "bytes 3-5/10", 206},
		{"bytes=9-9", "9", "bytes 9-9/10", 206},
		{"bytes=9-99999999999999999999", "9", "bytes 9-9/10", 206},
		{"bytes=10-", "", "bytes */10", 416},
		{"bytes=99999999999999999999-", "", "bytes */10", 416},
		{"bytes=5-3", "0123456789", "", 200},
		{"bytes=-3", "0123456789", "", 200},
		{"bytes=0-1,3-4", "0123456789", "", 200},
		{"bytes= 0-1", "0123456789", "", 200},
		{"items=0-1", "0123456789", "", 200},
		{"bytes=a-b", "0123456789", "", 200},
	} {
		for _, name := range []string{"Range", "x-ms-range"} {
			headers := []string{name + ": " + tt.header}
			if name == "x-ms-range" {
				headers = append(headers, "Range: bytes=1-1") // which counts less
			}
			if tt.header == "" {
				headers = nil
			}
			w := send(e, "GET", "/box/a", "", headers...)
			if w.Code != tt.status || w.Header().Get("Content-Range") != tt.contentRange || w.Code < 300 && w.Body.String() != tt.body {
				t.Errorf("%s: %s: %d %s %s", name, tt.header, w.Code, w.Header().Get("Content-Range"), w.Body)
			}
		}
	}
	w := send(e, "GET", "/box/a", "", "x-ms-range: bytes=1-2", "x-ms-range-get-content-crc64: true")
	if w.Header().Get("X-Ms-Content-Crc64") != bytesContent([]byte("12")).crc64() || w.Header().Get("Content-Md5") != "" {
		t.Errorf("headers are %v", w.Header())
	}
	if got := w.Header().Get("X-Ms-Blob-Content-Md5"); got != bytesContent([]byte("0123456789")).md5() {
		t.Errorf("x-ms-blob-content-md5 is %q", got)
	}
	want(t, putText(e, "/box/long", strings.Repeat("x", mostRangeSum+2)), 201, "")
	want(t, send(e, "GET", "/box/long", "", "x-ms-range: bytes=0-"+strconv.Itoa(mostRangeSum-1), "x-ms-range-get-content-md5: true"), 206, "")
	want(t, send(e, "GET", "/box/long", "", "x-ms-range: bytes=0-"+strconv.Itoa(mostRangeSum), "x-ms-range-get-content-md5: true"), 400, "InvalidHeaderValue")
}

// TestSlices compares every slice of a content of several parts with the same slice of a string.
func TestSlices(t *testing.T) {
	t.Parallel()
	const text = "abcdefghij"
	var c content
	for _, part := range []string{"ab", "c", "", "defgh", "ij"} {
		c = c.joined(bytesContent([]byte(part)))
	}
	for from := range len(text) {
		for to := from; to <= len(text); to++ {
			var got strings.Builder
			s := c.slice(int64(from), int64(to-from))
			_ = s.writeTo(&got)
			if got.String() != text[from:to] || s.size != int64(to-from) {
				t.Errorf("%d:%d is %q", from, to, got.String())
			}
		}
	}
}

func blockID(n int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%06d", n)) }

func putBlock(e *Endpoint, name string, n int, text string) int {
	return send(e, "PUT", "/box/"+name+"?comp=block&blockid="+blockID(n), text).Code
}

func TestBlockLists(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	commit := func(list string) int {
		return send(e, "PUT", "/box/b?comp=blocklist", "\ufeff<?xml version=\"1.0\"?>\n<BlockList>\n"+list+"\n</BlockList>\n").Code
	}
	putBlock(e, "b", 0, "A")
	putBlock(e, "b", 1, "B")
	if got := commit("<Uncommitted>" + blockID(1) + "</Uncommitted> <Latest> " + blockID(0) + " </Latest>"); got != 201 {
		t.Fatal(got)
	}
	wantText(t, send(e, "GET", "/box/b", ""), "BA")
	putBlock(e, "b", 0, "new")
	// Both have block 0 now; a refused list changes neither.
	if got := commit("<Uncommitted>" + blockID(1) + "</Uncommitted>"); got != 400 {
		t.Error(got)
	}
	if got := commit("<Committed>" + blockID(0) + "</Committed><Uncommitted>" + blockID(0) + "</Uncommitted><Latest>" + blockID(0) + "</Latest>"); got != 201 {
		t.Error(got)
	}
	wantText(t, send(e, "GET", "/box/b", ""), "Anewnew")
	if got := commit("<Committed>" + blockID(1) + "</Committed>"); got != 400 {
		t.Error("a block that was left out is still there:", got)
	}
	wantEmpty(t, e)
}

func TestTooMuch(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{MaxBytes: 64 << 10})
	want(t, send(e, "PUT", "/box?restype=container", ""), 201, "")
	half := strings.Repeat("x", 31<<10)
	want(t, putText(e, "/box/a", half), 201, "")
	w := putText(e, "/box/b", half+half)
	want(t, w, 413, "RequestBodyTooLarge")
	if !strings.Contains(w.Body.String(), "<MaxLimit>65536</MaxLimit>") {
		t.Errorf("the limit is not told: %s", w.Body)
	}
	want(t, send(e, "PUT", "/box/b?comp=block&blockid="+blockID(0), half+"xxx"), 413, "RequestBodyTooLarge")
	// To overwrite both must fit while it lasts; then the old one's place is free.
	want(t, putText(e, "/box/a", "small"), 201, "")
	want(t, putText(e, "/box/a", half), 201, "")
	want(t, send(e, "DELETE", "/box/a", ""), 202, "")
	for n := range 1000 { // nothing is free, not even nothing
		if w := putText(e, "/box/empty-"+strconv.Itoa(n), ""); w.Code == 413 {
			if n < 30 || n > 63 {
				t.Errorf("%d empty blobs fit in 64 KiB", n)
			}
			wantEmpty(t, e)
			return
		}
	}
	t.Error("empty blobs are without bound")
}

// TestRepeatedBlocksAreBounded: a list may name a block often, so a small block could make a blob of any length.
func TestRepeatedBlocksAreBounded(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{MaxBytes: 1 << 20})
	want(t, send(e, "PUT", "/box?restype=container", ""), 201, "")
	putBlock(e, "a", 0, strings.Repeat("x", 100<<10))
	list := func(n int) string {
		return "<BlockList>" + strings.Repeat("<Latest>"+blockID(0)+"</Latest>", n) + "</BlockList>"
	}
	want(t, send(e, "PUT", "/box/a?comp=blocklist", list(11)), 413, "RequestBodyTooLarge")
	want(t, send(e, "PUT", "/box/a?comp=blocklist", list(10)), 201, "")
	if e.store.used > 110<<10 {
		t.Errorf("the block is counted more than once: %d", e.store.used)
	}
	wantEmpty(t, e)
}

// TestForgottenBlocks: blocks that nobody commits for a week make room when there is none.
func TestForgottenBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := mustNew(t, Config{MaxBytes: 64 << 10})
		want(t, send(e, "PUT", "/box?restype=container", ""), 201, "")
		putBlock(e, "a", 0, strings.Repeat("x", 40<<10))
		big := strings.Repeat("y", 30<<10)
		time.Sleep(pendingAge)
		want(t, putText(e, "/box/b", big), 413, "RequestBodyTooLarge")
		time.Sleep(time.Second)
		want(t, putText(e, "/box/b", big), 201, "")
		want(t, send(e, "GET", "/box/a?comp=blocklist&blocklisttype=all", ""), 404, "BlobNotFound")
		wantEmpty(t, e)
	})
}

// TestTogether has many clients at the same names; afterwards every byte is accounted for.
func TestTogether(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{MaxBytes: 1 << 20})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 300 {
				name := string(rune('a' + random.IntN(3)))
				text := strings.Repeat(name, random.IntN(9000)+1)
				var code int
				switch random.IntN(9) {
				case 0:
					code = send(e, "PUT", "/box?restype=container", "").Code
				case 1:
					code = putText(e, "/box/"+name, text).Code
				case 2, 3:
					code = putBlock(e, name, random.IntN(4), text)
				case 4:
					code = send(e, "PUT", "/box/"+name+"?comp=blocklist", "<BlockList><Latest>"+blockID(random.IntN(4))+"</Latest></BlockList>").Code
				case 5:
					code = send(e, "DELETE", "/box/"+name, "").Code
				case 6:
					code = send(e, "PUT", "/box/"+name+"?comp=metadata", "", "x-ms-meta-k: "+text[:min(len(text), 99)]).Code
				case 7:
					w := send(e, "GET", "/box/"+name, "")
					if code = w.Code; code == 200 && strings.Trim(w.Body.String(), name) != "" {
						t.Errorf("%s has %.99s", name, w.Body)
					}
				case 8:
					code = send(e, "GET", "/box?restype=container&comp=list", "").Code
					if random.IntN(9) == 0 {
						code = send(e, "DELETE", "/box?restype=container", "").Code
					}
				}
				if code >= 500 {
					t.Error(code)
				}
			}
		})
	}
	all.Wait()
	wantEmpty(t, e)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	seen := map[string]bool{}
	for range 100 {
		w := putText(e, "/box/a", "x")
		if etag := w.Header().Get("ETag"); seen[etag] || !strings.HasPrefix(etag, `"0x8`) {
			t.Fatalf("ETag %s", etag)
		} else {
			seen[etag] = true
		}
		if _, err := http.ParseTime(w.Header().Get("Last-Modified")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCreationTime is kept when a blob is overwritten, and not when it is deleted in between.
func TestCreationTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := stocked(t)
		created := func() string { return send(e, "HEAD", "/box/a", "").Header().Get("X-Ms-Creation-Time") }
		first := created()
		time.Sleep(time.Minute)
		want(t, putText(e, "/box/a", "x"), 201, "")
		if created() != first {
			t.Error("it is new")
		}
		want(t, send(e, "DELETE", "/box/a", ""), 202, "")
		want(t, putText(e, "/box/a", "x"), 201, "")
		if created() == first {
			t.Error("it is old")
		}
	})
}

// TestNamesThatXMLCannotHold come percent-encoded, and say so.
func TestNamesThatXMLCannotHold(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	want(t, putText(e, "/box/x%01%2Fy", "1"), 201, "")
	w := send(e, "GET", "/box?restype=container&comp=list&prefix=x", "")
	var list struct {
		Blobs struct {
			Blob []struct {
				Name struct {
					Encoded bool   `xml:",attr"`
					Text    string `xml:",chardata"`
				}
			}
		}
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Blobs.Blob) != 1 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if name := list.Blobs.Blob[0].Name; !name.Encoded || name.Text != "x%01%2Fy" {
		t.Errorf("%+v", name)
	}
}

// TestPutBlobTakesPlainHeaders: properties come from the request's own headers where there is none for the blob.
func TestPutBlobTakesPlainHeaders(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	w := putText(e, "/box/a", "x", "Content-Type: text/csv", "Cache-Control: no-store", "Content-Language: de", "x-ms-blob-content-language: fr")
	want(t, w, 201, "")
	h := send(e, "GET", "/box/a", "").Header()
	if h.Get("Content-Type") != "text/csv" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Language") != "fr" {
		t.Errorf("headers are %v", h)
	}
	if w.Header().Get("X-Ms-Content-Crc64") == "" || w.Header().Get("Content-Md5") != bytesContent([]byte("x")).md5() {
		t.Errorf("checksums are %v", w.Header())
	}
}

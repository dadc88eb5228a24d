package emulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func zip(t testing.TB, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What real clients put into headers and before the body does no harm.
func TestEncodings(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for _, tt := range []struct{ name, contentType, encoding, body string }{
		{"plain", "application/json", "", goodDay},
		{"no type", "", "", goodDay},
		{"text type", "text/json", "", goodDay},
		{"form type", "application/x-www-form-urlencoded", "", goodDay},
		{"charset", "application/json; charset=us-ascii", "", goodDay},
		{"broken type", "application/", "", goodDay},
		{"Java's encoding", "text/json", "UTF-8", goodDay},
		{"identity", "application/json", "identity", goodDay},
		{"mark", "application/json", "", "\xef\xbb\xbf" + goodDay},
		{"gzip", "application/json", "gzip", zip(t, goodDay)},
		{"GZIP and UTF-8", "application/json", "UTF-8, GZIP", zip(t, goodDay)},
		{"x-gzip", "application/json", "x-gzip", zip(t, goodDay)},
		{"gzip of two members", "application/json", "gzip", zip(t, goodDay[:9]) + zip(t, goodDay[9:])},
		{"gzip of a mark", "application/json", "gzip", zip(t, "\xef\xbb\xbf"+goodDay)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest("POST", hashingPath+"/execute", tt.body)
			r.Header.Set("Content-Type", tt.contentType)
			r.Header.Set("Content-Encoding", tt.encoding)
			r.Header.Set("Accept-Encoding", "gzip")
			w := send(e, r)
			wantBody(t, w, hashedPlain)
			if got := w.Header().Get("Content-Encoding"); got != "" {
				t.Errorf("Content-Encoding of the answer is %q", got)
			}
		})
	}
}

func refusedLength(limit int) refusal {
	return refusal{413, "BadArgument", badArgumentText, "RequestBodyTooLarge",
		fmt.Sprintf("The request body is longer than the limit of %d bytes.", limit)}
}

func TestBadZip(t *testing.T) {
	t.Parallel()
	const limit = 1 << 14
	e := mustNew(t, Config{MaxBody: limit})
	whole := zip(t, goodDay)
	broken := []byte(whole)
	broken[len(broken)-6] ^= 1 // in the checksum
	for _, tt := range []struct {
		name, body string
		want       refusal
	}{
		{"no gzip", goodDay, refusedBody("Byte 0: the body is not gzip, as its Content-Encoding says.")},
		{"empty", "", refusedBody("Byte 0: the body is not gzip, as its Content-Encoding says.")},
		{"zipped nothing", zip(t), refusedBody("Byte 0: the body is empty.")},
		{"cut", whole[:len(whole)-8], refusedBody(fmt.Sprintf("Byte %d: the body is not complete.", len(goodDay)))},
		{"checksum", string(broken), refusedBody(fmt.Sprintf("Byte %d: the body is not complete.", len(goodDay)))},
		{"bomb", zip(t, goodDay, strings.Repeat(" ", 64*limit)), refusedLength(limit)},
		{"bomb of empty members", strings.Repeat(zip(t), limit), refusedLength(limit)},
		{"one byte too long", zip(t, goodDay, strings.Repeat(" ", limit+1-len(goodDay))), refusedLength(limit)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest("POST", hashingPath+"/execute", tt.body)
			r.ContentLength = -1 // as in chunks, so that the length has to be found out
			r.Header.Set("Content-Encoding", "gzip")
			wantRefusal(t, send(e, r), tt.want)
		})
	}
	r := newRequest("POST", hashingPath+"/execute", zip(t, goodDay, strings.Repeat(" ", limit-len(goodDay))))
	r.Header.Set("Content-Encoding", "gzip")
	wantBody(t, send(e, r), hashedPlain)
}

// post sends a body over a real connection, with its length announced or in
// chunks.
func post(t *testing.T, url string, body string, chunked bool) (*http.Response, string) {
	t.Helper()
	var from io.Reader = strings.NewReader(body)
	if chunked {
		from = io.MultiReader(from) // hides the length
	}
	r, err := http.NewRequest("POST", url, from)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer demo-key")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(answer)
}

// AzureML's limit: 4 MiB is taken, a byte more is not, and the client sees the
// refusal although it is still sending.
func TestLimit(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(mustNew(t, Config{}))
	t.Cleanup(srv.Close)
	const limit = 4 << 20
	fill := func(length int) string { return goodDay + strings.Repeat(" ", length-len(goodDay)) }
	for _, tt := range []struct {
		length  int
		chunked bool
		want    int
	}{
		{limit, false, 200},
		{limit, true, 200},
		{limit + 1, false, 413},
		{limit + 1, true, 413},
		{2*limit - 1, false, 413},
		{2*limit - 1, true, 413},
	} {
		response, body := post(t, srv.URL+hashingPath+"/execute", fill(tt.length), tt.chunked)
		if response.StatusCode != tt.want {
			t.Errorf("%+v: status %d: %.300s", tt, response.StatusCode, body)
		}
		if tt.want == 413 {
			if got := refusalOf(t, 413, response.Header, []byte(body)); got != refusedLength(limit) {
				t.Errorf("%+v: got %+v", tt, got)
			}
		} else if body != hashedPlain {
			t.Errorf("%+v: %.300s", tt, body)
		}
	}
}

// countingReader tells whether anything was read.
type countingReader struct {
	io.Reader
	read int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += n
	return n, err
}

// A client that waits for "100 Continue" gets it for a good request, and the
// refusal without sending anything for one that is too long.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(mustNew(t, Config{MaxBody: 1000}))
	t.Cleanup(srv.Close)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	t.Cleanup(client.CloseIdleConnections)
	for length, want := range map[int]int{len(goodDay): 200, 1001: 413} {
		body := &countingReader{Reader: strings.NewReader(goodDay + strings.Repeat(" ", length-len(goodDay)))}
		r, err := http.NewRequest("POST", srv.URL+hashingPath+"/execute", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(length)
		r.Header.Set("Authorization", "Bearer demo-key")
		r.Header.Set("Expect", "100-continue")
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want || (want == 413 && body.read != 0) {
			t.Errorf("%d bytes: status %d after %d bytes", length, response.StatusCode, body.read)
		}
	}
}

// failingReader is a connection that breaks inside the body.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestBrokenBody(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	r := newRequest("POST", hashingPath+"/execute", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(goodDay[:7]), failingReader{errors.New("a secret of the transport")}))
	wantRefusal(t, send(e, r), refusedBody("Byte 7: the body is not complete."))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("recovered %v", got)
		}
		if e.calls.Load() != 0 {
			t.Error("a call that never came counts")
		}
	}()
	r = newRequest("POST", hashingPath+"/execute", "").WithContext(ctx)
	r.Body = io.NopCloser(failingReader{context.Canceled})
	w := send(e, r)
	t.Errorf("a client that is gone is answered %d", w.Code)
}

package blob

import (
	"bytes"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The tests of package blob itself need neither a network nor foreign parts. What the SDKs do is in package blob_test.

const root = "/" + DevelopmentAccount

func mustNew(t testing.TB, cfg Config) *Endpoint {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request makes a request, unsigned. Headers are given as "Name: value".
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// sign signs a request by Shared Key, as it stands.
func sign(e *Endpoint, r *http.Request) *http.Request {
	if r.Header.Get("X-Ms-Date") == "" && r.Header.Get("Date") == "" {
		r.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	}
	c := &call{Request: r, endpoint: e}
	_ = c.parse() // for the query; what is wrong with it comes up in the answer
	r.Header.Set("Authorization", "SharedKey "+e.account+":"+e.mac(c.stringToSign(strings.Compare)))
	return r
}

func do(e *Endpoint, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// send sends a signed request.
func send(e *Endpoint, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return do(e, sign(e, request(method, root+path, body, headers...)))
}

// putText is Put Blob.
func putText(e *Endpoint, path, text string, headers ...string) *httptest.ResponseRecorder {
	return send(e, "PUT", path, text, append(headers, "x-ms-blob-type: BlockBlob")...)
}

// stocked is an endpoint with container "box" and blob "box/a", which is "0123456789".
func stocked(t testing.TB) *Endpoint {
	t.Helper()
	e := mustNew(t, Config{})
	want(t, send(e, "PUT", "/box?restype=container", ""), 201, "")
	want(t, putText(e, "/box/a", "0123456789"), 201, "")
	return e
}

// want checks status and error code, and that an error is well made.
func want(t testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if w.Code != status || w.Header().Get("X-Ms-Error-Code") != code {
		t.Errorf("%d %s, want %d %s: %.300s", w.Code, w.Header().Get("X-Ms-Error-Code"), status, code, w.Body)
	}
	if code == "" || status == 304 || w.Body.Len() == 0 {
		return
	}
	var doc struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Code != code {
		t.Errorf("no error document (%v): %s", err, w.Body)
	}
	if id := w.Header().Get("X-Ms-Request-Id"); id == "" || !strings.Contains(doc.Message, "RequestId:"+id+"\nTime:") {
		t.Errorf("no request id in %q", doc.Message)
	}
}

func wantText(t testing.TB, w *httptest.ResponseRecorder, text string) {
	t.Helper()
	if w.Code >= 300 || w.Body.String() != text {
		t.Errorf("%d %.300s, want %s", w.Code, w.Body, text)
	}
}

// wantEmpty deletes all containers and checks that nothing is left of them in the budget.
func wantEmpty(t testing.TB, e *Endpoint) {
	t.Helper()
	e.store.mu.Lock()
	names := e.store.containerNames("")
	e.store.mu.Unlock()
	for _, name := range names {
		want(t, send(e, "DELETE", "/"+name+"?restype=container", ""), 202, "")
	}
	if e.store.used != 0 {
		t.Errorf("%d bytes are in use of nothing", e.store.used)
	}
}

func TestAnswersSayWhoAndWhen(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	seen := map[string]bool{}
	for _, w := range []*httptest.ResponseRecorder{
		send(e, "GET", "/box/a", "", "x-ms-version: 2021-12-02", "x-ms-client-request-id: mine"),
		send(e, "HEAD", "/box/none", "", "x-ms-version: 2021-12-02", "x-ms-client-request-id: mine"),
		send(e, "PUT", "/box/a?comp=metadata", "", "x-ms-version: 2021-12-02", "x-ms-client-request-id: mine"),
	} {
		h := w.Header()
		if h.Get("x-ms-version") != "2021-12-02" || h.Get("x-ms-client-request-id") != "mine" {
			t.Errorf("headers are %v", h)
		}
		if id := h.Get("x-ms-request-id"); len(id) != 36 || seen[id] {
			t.Errorf("x-ms-request-id is %q", id)
		}
		seen[h.Get("x-ms-request-id")] = true
		if _, err := http.ParseTime(h.Get("Date")); err != nil {
			t.Error(err)
		}
	}
	if w := send(e, "HEAD", "/box/none", ""); w.Body.Len() != 0 || w.Header().Get("X-Ms-Error-Code") != "BlobNotFound" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if w := send(e, "HEAD", "/box/a", ""); w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

// TestLogTellsNoSecrets looks for what must not be told in the log and in every answer.
func TestLogTellsNoSecrets(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
	e := mustNew(t, Config{Key: secret, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	token := e.ReadToken("box", "private-name", time.Now(), time.Now().Add(time.Hour))
	signature := token[strings.Index(token, "sig=")+4:]
	signature, _, _ = strings.Cut(signature, "&")
	var told []string
	tell := func(w *httptest.ResponseRecorder) { told = append(told, w.Body.String()) }
	tell(send(e, "PUT", "/box?restype=container", ""))
	tell(putText(e, "/box/private-name", "x"))
	tell(do(e, request("GET", root+"/box/private-name"+token, "")))
	tell(do(e, request("GET", root+"/box/another-name"+token, "")))
	tell(do(e, request("GET", root+"/box/private-name"+token+"&sig=x", "")))
	bad := sign(e, request("GET", root+"/box/private-name", ""))
	authorization := strings.TrimPrefix(bad.Header.Get("Authorization"), "SharedKey "+DevelopmentAccount+":")
	bad.Header.Set("X-Ms-Meta-A", "b")
	tell(do(e, bad))
	for _, text := range append(told, log.String()) {
		for _, not := range []string{secret, signature, authorization, authorization[:20]} {
			if strings.Contains(text, not) {
				t.Errorf("%q is told in %s", not, text)
			}
		}
	}
	for _, not := range []string{"private-name", "sig", "sv="} {
		if strings.Contains(log.String(), not) {
			t.Errorf("the log has %q: %s", not, &log)
		}
	}
	if !strings.Contains(log.String(), `"operation":"PutBlob","status":201`) {
		t.Errorf("the log does not tell what was done: %s", &log)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Account: "Dev"}, `--account is "Dev"; allowed are 3 to 24 lower-case letters and digits`},
		{Config{Account: "ab"}, "--account is"},
		{Config{Key: "no base64 at all!"}, "--key has 17 characters; allowed is the base64 of 16 to 256 bytes"},
		{Config{Key: "c2hvcnQ="}, "--key has 8 characters"},
		{Config{MaxBytes: -1}, "--max-bytes is -1; allowed is 65536 to 1099511627776"},
		{Config{MaxBytes: 1<<40 + 1}, "--max-bytes is"},
	} {
		e, err := New(tt.cfg)
		if e != nil || err == nil || !strings.Contains(err.Error(), tt.want) || tt.cfg.Key != "" && strings.Contains(err.Error(), tt.cfg.Key) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}

// broken is a body that ends in an error, as one does whose client goes away.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestTornUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	before := e.store.used
	for _, target := range []string{"/box/a", "/box/new", "/box/a?comp=block&blockid=YQ==", "/box/new?comp=block&blockid=YQ==", "/box/a?comp=blocklist"} {
		r := request("PUT", root+target, "<BlockList/>", "x-ms-blob-type: BlockBlob")
		r.Body, r.ContentLength = io.NopCloser(broken{r.Body}), 1000
		want(t, do(e, sign(e, r)), 400, "InvalidInput")
	}
	if e.store.used != before {
		t.Errorf("%d bytes are in use, %d were", e.store.used, before)
	}
	wantText(t, send(e, "GET", "/box/a", ""), "0123456789")
	want(t, send(e, "GET", "/box/new", ""), 404, "BlobNotFound")
	want(t, send(e, "GET", "/box/new?comp=blocklist&blocklisttype=all", ""), 404, "BlobNotFound")
	// Nor does a body of unknown length, which no SDK sends.
	for _, target := range []string{"/box/a", "/box/a?comp=block&blockid=YQ==", "/box/a?comp=blocklist"} {
		r := request("PUT", root+target, "x", "x-ms-blob-type: BlockBlob")
		r.ContentLength = -1
		want(t, do(e, sign(e, r)), 411, "MissingContentLengthHeader")
	}
	wantEmpty(t, e)
}

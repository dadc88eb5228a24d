package blob

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedKeyRefuses(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		status int
		code   string
	}{
		{"nothing", func(r *http.Request) {}, 200, ""},
		{"other scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer token") }, 401, "InvalidAuthenticationInfo"},
		{"scheme in lower case", func(r *http.Request) {
			r.Header.Set("Authorization", strings.ToLower(r.Header.Get("Authorization")))
		}, 401, "InvalidAuthenticationInfo"},
		{"no signature", func(r *http.Request) { r.Header.Set("Authorization", "SharedKey devstoreaccount1:") }, 400, "InvalidAuthenticationInfo"},
		{"no account", func(r *http.Request) { r.Header.Set("Authorization", "SharedKey :YQ==") }, 400, "InvalidAuthenticationInfo"},
		{"scheme alone", func(r *http.Request) { r.Header.Set("Authorization", "SharedKey") }, 400, "InvalidAuthenticationInfo"},
		{"other account", func(r *http.Request) { r.Header.Set("Authorization", "SharedKey other:YQ==") }, 403, "AuthenticationFailed"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Ms-Date") }, 403, "AuthenticationFailed"},
		{"bad date", func(r *http.Request) { r.Header.Set("X-Ms-Date", "now") }, 403, "AuthenticationFailed"},
		{"other verb", func(r *http.Request) { r.Method = "DELETE" }, 403, "AuthenticationFailed"},
		{"other path", func(r *http.Request) { r.URL.Path = root + "/box/b" }, 403, "AuthenticationFailed"},
		{"other query", func(r *http.Request) { r.URL.RawQuery = "comp=metadata" }, 403, "AuthenticationFailed"},
		{"other header", func(r *http.Request) { r.Header.Set("X-Ms-Meta-A", "b") }, 403, "AuthenticationFailed"},
		{"other range", func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }, 403, "AuthenticationFailed"},
		{"other type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 403, "AuthenticationFailed"},
		{"a SAS does not help", func(r *http.Request) {
			r.URL.RawQuery = e.ReadToken("box", "a", time.Now(), time.Now().Add(time.Hour))[1:]
		}, 403, "AuthenticationFailed"},
	} {
		r := sign(e, request("GET", root+"/box/a", ""))
		tt.change(r)
		t.Run(tt.name, func(t *testing.T) { want(t, do(e, r), tt.status, tt.code) })
	}
	want(t, do(e, sign(e, request("GET", "/otheraccount/box/a", ""))), 404, "ResourceNotFound")
}

// TestStringToSign is the reference's own example of form, with the account twice as in all path-style URLs, several
// values of a parameter, and x-ms-date in the place of Date.
func TestStringToSign(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	r := request("PUT", root+"/box/a%20b?comp=metadata&Include=z,y&include=a&x=1%2B2", "12345",
		"Content-Type: text/plain", "Content-MD5: sum", "Content-Encoding: gzip", "Content-Language: de", "Date: not this",
		"x-ms-date: Sun, 06 Nov 1994 08:49:37 GMT", "x-ms-version: 2021-12-02", "If-Match: \"1\"", "Range: bytes=0-1",
		"x-ms-meta-b: 2", "X-Ms-Meta-A: 1", "x-ms-meta-a: 3")
	c := &call{Request: r, endpoint: e}
	_ = c.parse()
	const want = "PUT\ngzip\nde\n5\nsum\ntext/plain\n\n\n\"1\"\n\n\nbytes=0-1\n" +
		"x-ms-date:Sun, 06 Nov 1994 08:49:37 GMT\nx-ms-meta-a:1,3\nx-ms-meta-b:2\nx-ms-version:2021-12-02\n" +
		"/devstoreaccount1/devstoreaccount1/box/a%20b\ncomp:metadata\ninclude:a,z,y\nx:1+2"
	if got := c.stringToSign(strings.Compare); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const lite = "PUT\nsum\ntext/plain\n\nx-ms-date:Sun, 06 Nov 1994 08:49:37 GMT\nx-ms-meta-a:1,3\nx-ms-meta-b:2\nx-ms-version:2021-12-02\n" +
		"/devstoreaccount1/devstoreaccount1/box/a%20b?comp=metadata"
	if got := c.liteStringToSign(strings.Compare); got != lite {
		t.Errorf("got\n%s\nwant\n%s", got, lite)
	}
}

// TestZeroLength: until 2015-02-21 a length of zero was signed as "0".
func TestZeroLength(t *testing.T) {
	t.Parallel()
	for version, length := range map[string]string{"2014-02-14": "0", "2015-02-20": "0", "2015-02-21": "", "2021-12-02": ""} {
		r := request("PUT", root+"/box/a", "", "Content-Length: 0", "x-ms-version: "+version)
		c := &call{Request: r, endpoint: mustNew(t, Config{})}
		if got := strings.Split(c.stringToSign(strings.Compare), "\n")[3]; got != length {
			t.Errorf("%s: %q", version, got)
		}
	}
}

func TestSharedKeyLite(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	r := request("GET", root+"/box/a?comp=metadata", "", "Date: "+time.Now().UTC().Format(http.TimeFormat))
	c := &call{Request: r, endpoint: e}
	_ = c.parse()
	r.Header.Set("Authorization", "SharedKeyLite "+e.account+":"+e.mac(c.liteStringToSign(strings.Compare)))
	want(t, do(e, r), 200, "")
	r.Header.Set("Authorization", "SharedKeyLite "+e.account+":"+e.mac(c.stringToSign(strings.Compare)))
	want(t, do(e, r), 403, "AuthenticationFailed")
}

func TestHeaderOrder(t *testing.T) {
	t.Parallel()
	names := []string{"x-ms-meta-ab", "x-ms-meta-a1", "x-ms-meta-a_b", "x-ms-meta-a", "x-ms-date", "x-msa", "x-ms-a"}
	slices.SortFunc(names, compareWords)
	if got := strings.Join(names, " "); got != "x-msa x-ms-a x-ms-date x-ms-meta-a x-ms-meta-a_b x-ms-meta-a1 x-ms-meta-ab" {
		t.Error(got)
	}
}

// TestClock: a signature holds while its date is 15 minutes off or less, a SAS from st till se, both to the nanosecond.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := stocked(t)
		signed := sign(e, request("GET", root+"/box/a", ""))
		ahead := request("GET", root+"/box/a", "", "x-ms-date: "+time.Now().Add(15*time.Minute+time.Second).UTC().Format(http.TimeFormat))
		ahead = sign(e, ahead)
		want(t, do(e, signed), 200, "")
		want(t, do(e, ahead), 403, "AuthenticationFailed")
		time.Sleep(time.Second)
		want(t, do(e, ahead), 200, "")
		time.Sleep(15*time.Minute - time.Second)
		want(t, do(e, signed), 200, "")
		time.Sleep(time.Nanosecond)
		want(t, do(e, signed), 403, "AuthenticationFailed")
		time.Sleep(time.Second - 1)

		token := e.ReadToken("box", "a", time.Now().Add(time.Minute), time.Now().Add(24*time.Hour+5*time.Minute))
		get := func() int { return do(e, request("GET", root+"/box/a"+token, "")).Code }
		for _, step := range []struct {
			wait   time.Duration
			status int
		}{{0, 403}, {time.Minute - 1, 403}, {time.Nanosecond, 200}, {24*time.Hour + 4*time.Minute - 1, 200}, {time.Nanosecond, 403}} {
			time.Sleep(step.wait)
			if got := get(); got != step.status {
				t.Errorf("%v later: %d, want %d", step.wait, got, step.status)
			}
		}
	})
}

// TestNobody: without a signature nothing is told, whatever exists.
func TestNobody(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	for _, target := range []string{"/box/a", "/box/none", "/nobox/a", "/?comp=list", "/box?restype=container&comp=list"} {
		want(t, do(e, request("GET", root+target, "")), 404, "ResourceNotFound")
		w := do(e, request("GET", root+target, "", "x-ms-version: 2021-12-02"))
		want(t, w, 401, "NoAuthenticationInformation")
		if w.Header().Get("WWW-Authenticate") == "" {
			t.Error("401 without a challenge")
		}
	}
}

package blob

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzAuthorize changes requests that a key or a SAS allows to read box/a. Whatever is made of them, nothing else becomes
// allowed, and with another key nothing at all.
func FuzzAuthorize(f *testing.F) {
	e := stocked(f)
	want(f, putText(e, "/box/b", "secret"), 201, "")
	stranger := mustNew(f, Config{Key: "YW5vdGhlciBrZXkgdGhhbiB0aGF0"})
	date := time.Now().UTC().Format(http.TimeFormat)
	signed := sign(e, request("GET", root+"/box/a", "", "x-ms-date: "+date)).Header.Get("Authorization")
	read := token(e, "/box/a")
	account := token(e, "", "ss=b", "srt=o", "sp=r")
	list := token(e, "/box", "sr=c", "sp=l")
	for _, query := range []string{
		"", read, account, list, read + "&comp=metadata", read + "&sp=rwd", read + "&ss=b&srt=sco", "restype=container&comp=list&" + list,
		strings.Replace(read, "sp=r", "sp=rd", 1), strings.Replace(read, "sr=b", "sr=c", 1), read + "&SP=w", read + "&sp=%72", read + ";sp=w", read + "%",
	} {
		f.Add("GET", root+"/box/a", query, "", date)
		f.Add("DELETE", root+"/box/a", query, "", date)
		f.Add("GET", root+"/box/b", query, "", date)
		f.Add("PUT", root+"/box/a/b", query, "", date)
	}
	f.Add("GET", root+"/box/a", "", signed, date)
	f.Add("GET", root+"/box//a", "", signed, date)
	f.Add("GET", root+"/box/%61", "", signed, date)
	f.Add("GET", root+"/box/a", "", strings.Replace(signed, "SharedKey", "SharedKeyLite", 1), date)
	f.Add("GET", root+"/box/a", read, "SharedKey devstoreaccount1:=", date)
	f.Fuzz(func(t *testing.T, method, path, query, authorization, date string) {
		target, err := url.ParseRequestURI(path)
		if err != nil || target.Host != "" {
			return
		}
		target.RawQuery = query
		r := httptest.NewRequest("GET", root, http.NoBody)
		r.Method, r.URL, r.RemoteAddr = method, target, "127.0.0.1:1"
		r.Header.Set("X-Ms-Date", date)
		r.Header.Set("X-Ms-Blob-Type", "BlockBlob")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		c := &call{Request: r, endpoint: stranger}
		if c.parse() == nil && stranger.authorize(c) == nil {
			t.Fatal("a stranger is let in")
		}
		w := do(e, r) // must not panic, whatever it is
		c = &call{Request: r, endpoint: e}
		if c.parse() != nil || e.authorize(c) != nil {
			if w.Code < 400 {
				t.Fatalf("refused, and answered %d", w.Code)
			}
			return
		}
		reads := []string{"GetBlob", "GetBlobMetadata", "GetBlockList", "GetAccountInfo"}
		whole := c.container == "box" && c.blob == "a" && slices.Contains(reads, c.op.name)
		// The account SAS reads all blobs, the container's lists its own; neither was asked for more.
		byAccount := c.query["srt"] != nil && slices.Contains(reads, c.op.name)
		byList := c.container == "box" && (c.op.name == "ListBlobs" || c.op.name == "GetAccountInfo") && c.param("sr") == "c"
		if !whole && !byAccount && !byList {
			t.Fatalf("%s %s?%s is let in as %s", method, path, query, c.op.name)
		}
	})
}

// FuzzBlockList: what is taken has no more blocks than its text has elements.
func FuzzBlockList(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0" encoding="utf-8"?><BlockList><Latest>YQ==</Latest><Committed>YQ==</Committed></BlockList>`))
	f.Add([]byte(`<BlockList><Latest><a>b</a></Latest></BlockList><!-- -->`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><BlockList><Latest>&b;</Latest></BlockList>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseBlockList(data)
		if err == nil && (len(list) > strings.Count(string(data), "<") || !strings.Contains(string(data), "BlockList")) {
			t.Errorf("%d blocks in %q", len(list), data)
		}
	})
}

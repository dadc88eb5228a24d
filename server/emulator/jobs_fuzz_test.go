package emulator

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// FuzzOrder submits any body: there is never a panic, a refusal is short and
// in AzureML's envelope, and a job that is taken opens the own endpoint or an
// allowed host. What net/url makes of the address is what a client would.
func FuzzOrder(f *testing.F) {
	for _, body := range []string{
		"", "{}", goodOrder,
		`{"Input":` + byURL(blobURL+"/devstoreaccount1/", "data/in.csv", "?sig=a") + `,"Output":` + byAccount("data/out.tsv") + `}`,
		`{"Input":` + byURL("https://127.0.0.1:10000@evil.example/", "a.csv", "") + `}`,
		`{"Input":` + byURL("http://127.0.0.1:10000", "@evil.example/a.csv", "") + `}`,
		`{"Input":` + byURL("http://allowed.example/", "/a%2f..%2fb.csv", "?a=b&c") + `}`,
		`{"Input":{"ConnectionString":"AccountName=acct;AccountKey=AA==;BlobEndpoint=http://allowed.example/x","RelativeLocation":"/data/%2e%2e/a b.csv"}}`,
		`{"Inputs":{"input1":null},"Outputs":{"output1":{}},"GlobalParameters":[]}`,
	} {
		f.Add([]byte(body))
	}
	storage, err := newStorage(&Config{BlobURL: blobURL, BlobPublicURL: "https://blobs.example.com/store/", AllowBlobHosts: []string{"allowed.example"},
		BlobAccount: developmentAccount, BlobKey: developmentKey})
	if err != nil {
		f.Fatal(err)
	}
	service := featureHashing()
	f.Fuzz(func(t *testing.T, body []byte) {
		o, p := service.decodeOrder(body, storage)
		if p != nil {
			if text := p.envelope(); len(text) > 4096 || !json.Valid(text) {
				t.Errorf("a refusal of %d bytes", len(text))
			}
			return
		}
		for _, at := range append(o.outputs, o.input) {
			u, err := url.Parse(at.url)
			if err != nil {
				t.Fatalf("%q: %v", at.url, err)
			}
			want := "127.0.0.1:10000"
			if at.far {
				want = "allowed.example"
			}
			if port, ours := strings.CutPrefix(strings.ToLower(u.Host), want); !ours || strings.Trim(port, ":") != "" && port != ":80" && port != ":443" || u.User != nil {
				t.Errorf("%s is opened", at.url)
			}
			if strings.Contains(at.relative, "?") {
				t.Errorf("a query is told: %s", at.relative)
			}
		}
	})
}

// FuzzDataset reads any text as a table: what can be read comes out the same
// when it is written and read once more.
func FuzzDataset(f *testing.F) {
	for _, text := range []string{"", goodInput, riskInput, riskOutput, "Col2\n\"a\nb\"\n", "Col2\n\n", "\xef\xbb\xbfCol2", "Col2\r\n\"\"\"\"\n", "Col2\na\tb\n"} {
		f.Add([]byte(text), false, false)
		f.Add([]byte(text), true, true)
	}
	f.Fuzz(func(t *testing.T, text []byte, risk, tabs bool) {
		p, separator := &featureHashing().input, ','
		if risk {
			p = &cardiovascularRisk().input
		}
		if tabs {
			separator = '\t'
		}
		first, failed := p.readDataset(text, separator)
		if failed != nil {
			if details := failed.details(unknown); len(details) > 2048 {
				t.Errorf("details of %d bytes", len(details))
			}
			return
		}
		if len(p.columns) == 1 {
			return // no service writes one column, which needs quotes for a missing cell
		}
		written := p.appendDataset(nil, first, separator)
		second, failed := p.readDataset(written, separator)
		if failed != nil {
			t.Fatalf("%q cannot be read: %s", written, failed.sentence)
		}
		if again := p.appendDataset(nil, second, separator); !bytes.Equal(written, again) {
			t.Errorf("%q became %q", written, again)
		}
	})
}

package emulator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// byURL is a reference by the three parts of a URL, as JSON.
func byURL(base, relative, token string) string {
	return string(marshal(object{{"ConnectionString", nil}, {"RelativeLocation", relative}, {"BaseLocation", base}, {"SasBlobToken", token}}))
}

const notOurs = " is not the emulator's own blob endpoint, and no --allow-blob-host names it"

// Only the own endpoint is opened: what is compared is the host of the whole
// URL, in every way in which a part of it may look like the own one.
func TestForbiddenHosts(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{BlobURL: blobURL, BlobPublicURL: "https://blobs.example.com/store/", AllowBlobHosts: []string{"allowed.example", "port.example:8443", "10.1.2.3:80"}})
	for name, tt := range map[string]struct{ base, relative, token, reason string }{
		"another host":            {"http://evil.example/", "data/in.csv", "?sig=planted", "the host evil.example" + notOurs},
		"own host as user":        {"https://127.0.0.1:10000@evil.example/", "data/in.csv", "", "its URL has user info"},
		"own host as user name":   {"https://127.0.0.1@evil.example/", "data/in.csv", "", "its URL has user info"},
		"user info at own host":   {"http://a:planted@127.0.0.1:10000/devstoreaccount1/", "data/in.csv", "", "its URL has user info"},
		"empty user info":         {"http://@127.0.0.1:10000/devstoreaccount1/", "data/in.csv", "", "its URL has user info"},
		"own host as a subdomain": {"http://127.0.0.1:10000.evil.example/", "data/in.csv", "", "it is not a URL"},
		"own name as a subdomain": {"http://127.0.0.1.evil.example/", "data/in.csv", "", "the host 127.0.0.1.evil.example" + notOurs},
		"host goes on behind":     {"http://127.0.0.1", ".evil.example/in.csv", "", "the host 127.0.0.1.evil.example" + notOurs},
		"user info from behind":   {"http://127.0.0.1:10000", "@evil.example/in.csv", "", "its URL has user info"},
		"user info from token":    {"http://127.0.0.1:10000", "a.csv", "@evil.example/in.csv", "its URL has user info"},
		"port goes on behind":     {"http://127.0.0.1:1000", "00/data/in.csv", "", "the host 127.0.0.1:100000" + notOurs},
		"another port":            {"http://127.0.0.1:10001/", "data/in.csv", "", "the host 127.0.0.1:10001" + notOurs},
		"no port":                 {"http://127.0.0.1/", "data/in.csv", "", "the host 127.0.0.1" + notOurs},
		"another name for it":     {"http://localhost:10000/", "data/in.csv", "", "the host localhost:10000" + notOurs},
		"decimal address":         {"http://2130706433:10000/", "data/in.csv", "", "the host 2130706433:10000" + notOurs},
		"hexadecimal address":     {"http://0x7f.0.0.1:10000/", "data/in.csv", "", "the host 0x7f.0.0.1:10000" + notOurs},
		"short address":           {"http://127.1:10000/", "data/in.csv", "", "the host 127.1:10000" + notOurs},
		"IPv6 of it":              {"http://[::ffff:127.0.0.1]:10000/", "data/in.csv", "", "the host [::ffff:127.0.0.1]:10000" + notOurs},
		"dot behind":              {"http://127.0.0.1.:10000/", "data/in.csv", "", "the host 127.0.0.1.:10000" + notOurs},
		"backslash":               {`http://127.0.0.1:10000\@evil.example/`, "data/in.csv", "", "it is not a URL"},
		"backslash behind":        {"http://evil.example", `\@127.0.0.1:10000/in.csv`, "", "it is not a URL"},
		"fragment":                {"http://evil.example#@127.0.0.1:10000/", "data/in.csv", "", "it is not a URL"},
		"blank in the token":      {"http://127.0.0.1:10000/", "data/in.csv", "?a b", "it is not a URL"},
		"fragment behind":         {"http://127.0.0.1:10000/", "data/in.csv", "?a#b", "it is not a URL"},
		"query in the base":       {"http://127.0.0.1:10000/a?b=", "data/in.csv", "", "its base has a query"},
		"blank":                   {"http://127.0.0.1:10000 /", "data/in.csv", "", "it is not a URL"},
		"line":                    {"http://127.0.0.1:10000/\r\nHost: evil", "data/in.csv", "", "it is not a URL"},
		"nul":                     {"http://127.0.0.1:10000/\x00", "data/in.csv", "", "it is not a URL"},
		"escape in the host":      {"http://127.0.0.1%3a10000/", "data/in.csv", "", "it is not a URL"},
		"file":                    {"file:///etc/", "passwd.csv", "", "it is not a URL of http or https with a host"},
		"file at own host":        {"file://127.0.0.1:10000/", "data/in.csv", "", "it is not a URL of http or https with a host"},
		"no scheme":               {"//127.0.0.1:10000/", "data/in.csv", "", "it is not a URL of http or https with a host"},
		"no host":                 {"http:///", "data/in.csv", "", "it is not a URL of http or https with a host"},
		"opaque":                  {"http:127.0.0.1:10000/", "data/in.csv", "", "it is not a URL"},
		"double slash":            {"http:/", "/evil.example/in.csv", "", "it is not a URL of http or https with a host"},
		"metadata":                {"http://169.254.169.254/", "latest/in.csv", "", "the host 169.254.169.254" + notOurs},
		"private address":         {"http://10.1.2.4/", "data/in.csv", "", "the host 10.1.2.4" + notOurs},
		"below an allowed one":    {"https://a.allowed.example/", "data/in.csv", "", "the host a.allowed.example" + notOurs},
		"port of an allowed one":  {"https://allowed.example:8443/", "data/in.csv", "", "the host allowed.example:8443" + notOurs},
		"no port of allowed one":  {"https://port.example/", "data/in.csv", "", "the host port.example" + notOurs},
		"beside the public URL":   {"https://blobs.example.com/other/", "data/in.csv", "", "the host blobs.example.com" + notOurs},
		"port beside public URL":  {"https://blobs.example.com:8443/store/", "data/in.csv", "", "the host blobs.example.com:8443" + notOurs},
		"public URL over http":    {"http://blobs.example.com/store/", "data/in.csv", "", "the host blobs.example.com" + notOurs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, body := range []string{
				`{"Input":` + byURL(tt.base, tt.relative, tt.token) + `}`,
				`{"Input":` + byAccount("data/in.csv") + `,"Outputs":{"output1":` + byURL(tt.base, tt.relative, tt.token) + `}}`,
			} {
				w := send(e, newRequest("POST", hashingPath+"/jobs", body))
				wantRefusal(t, w, refusedBlob(tt.relative, tt.reason))
				if strings.Contains(w.Body.String(), "planted") {
					t.Errorf("a secret is told: %s", w.Body)
				}
			}
		})
	}
}

func TestBadConnectionStrings(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{BlobURL: blobURL})
	const (
		noList = "it must be a list of name=value, separated by ';', with each name once"
		no     = "it needs AccountName and AccountKey, or SharedAccessSignature"
	)
	for text, reason := range map[string]string{
		"planted":                                                          noList,
		"AccountName=a;AccountName=b":                                      noList,
		"AccountName=a;accountname=b":                                      noList,
		"AccountName=devstoreaccount1":                                     no,
		"AccountKey=planted":                                               "its AccountName must be 3 to 24 lower-case letters and digits",
		"UseDevelopmentStorage=false":                                      "its AccountName must be 3 to 24 lower-case letters and digits",
		"AccountName=a/b;AccountKey=AA==":                                  "its AccountName must be 3 to 24 lower-case letters and digits",
		"AccountName=a.b;AccountKey=AA==":                                  "its AccountName must be 3 to 24 lower-case letters and digits",
		"AccountName=acct;AccountKey=AA==":                                 "the host acct.blob.core.windows.net" + notOurs,
		development + ";BlobEndpoint=a":                                    "it is not a URL of http or https with a host",
		"AccountName=devstoreaccount1;AccountKey=planted!":                 "its AccountKey is not base64",
		development + ";BlobEndpoint=http://evil.example/devstoreaccount1": "the host evil.example" + notOurs,
		development + ";BlobEndpoint=http://127.0.0.1:10000@evil.example/": "its URL has user info",
		development + ";BlobEndpoint=http://127.0.0.1:10000/?sig=planted":  "its BlobEndpoint has a query",
		"BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;SharedAccessSignature=sv=1&sig=planted#": "its SharedAccessSignature is not a query",
		"AccountName=acct;AccountKey=AA==;EndpointSuffix=evil.example":                                 "the host acct.blob.evil.example" + notOurs,
		"AccountName=acct;AccountKey=AA==;EndpointSuffix=x@127.0.0.1:10000":                            "its EndpointSuffix is not the end of a host's name",
		"AccountName=acct;AccountKey=AA==;DefaultEndpointsProtocol=http://127.0.0.1:10000/?":           "its DefaultEndpointsProtocol is not http or https",
		"AccountName=acct;AccountKey=AA==;DefaultEndpointsProtocol=ftp":                                "its DefaultEndpointsProtocol is not http or https",
	} {
		body := `{"Input":{"RelativeLocation":"data/in.csv","ConnectionString":` + string(marshal(text)) + `}}`
		w := send(e, newRequest("POST", hashingPath+"/jobs", body))
		if strings.Contains(w.Body.String(), "planted") {
			t.Errorf("a secret is told: %s", w.Body)
		}
		wantRefusal(t, w, refusedConnection(reason))
	}
}

func TestBadURLParts(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{BlobURL: blobURL})
	base := blobURL + "/devstoreaccount1/"
	for ref, want := range map[string]refusal{
		byURL(base, "", "?a"):                                    refusedBlobName,
		byURL(base, "?a", ""):                                    refusedBlobName,
		byURL(base, "/", ""):                                     refusedBlobName,
		byURL(base, "data/", ""):                                 refusedBlobName,
		byURL(base, "data/in.txt", "?a"):                         refusedExtension("data/in.txt"),
		byURL(base, "data/in.csv", "sv=1&sig=planted"):           refusedExtension("data/in.csvsv=1&sig=[redacted]"),
		byURL("", "data/in.csv", "?a"):                           refusedNoBlob,
		byURL(base, "data/in.txt?se=1&sig=planted&sp=r.csv", ""): refusedExtension("data/in.txt"),
	} {
		w := send(e, newRequest("POST", hashingPath+"/jobs", `{"Input":`+ref+`}`))
		if want.Code == "InvalidBlobExtension" {
			got := refusalOf(t, w.Code, w.Header(), w.Body.Bytes())
			if got.Code != want.Code || strings.Contains(got.Message, "planted") {
				t.Errorf("got %+v", got)
			}
			continue
		}
		wantRefusal(t, w, want)
	}
}

// Without an endpoint of its own an emulator takes only jobs that need none.
func TestNoBlobEndpoint(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{AllowBlobHosts: []string{"allowed.example"}})
	away := byURL("https://allowed.example/", "data/in.csv", "?sig=a")
	for body, want := range map[string]refusal{
		goodOrder:                refusedNoEndpoint,
		`{"Input":` + away + `}`: refusedNoEndpoint, // the output has nowhere to go
		`{"Input":{"ConnectionString":"UseDevelopmentStorage=true","RelativeLocation":"data/in.csv"}}`: refusedNoEndpoint,
		`{"Input":` + byURL(blobURL+"/", "data/in.csv", "") + `}`:                                      refusedBlob("data/in.csv", "the host 127.0.0.1:10000"+notOurs),
	} {
		wantRefusal(t, send(e, newRequest("POST", hashingPath+"/jobs", body)), want)
	}
	if w := send(e, newRequest("POST", hashingPath+"/jobs", `{"Input":`+away+`,"Output":`+away+`}`)); w.Code != 200 {
		t.Errorf("a job elsewhere: %d %s", w.Code, w.Body)
	}
}

// Where references lead, and what results will say of them.
func TestLocations(t *testing.T) {
	t.Parallel()
	s, err := newStorage(&Config{BlobURL: blobURL + "/", BlobPublicURL: "https://blobs.example.com/store", BlobAccount: "acct", BlobKey: "AA==", AllowBlobHosts: []string{"Allowed.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	const public = "https://blobs.example.com/store/"
	account := func(connection, path string) reference {
		return reference{connectionString: connection, relativeLocation: path}
	}
	for _, tt := range []struct {
		name      string
		reference reference
		want      location
	}{
		{"own account", account("AccountName=acct;AccountKey=AA==", "/data/a b/ü%#?.csv"),
			location{url: blobURL + "/acct/data/a%20b/%C3%BC%25%23%3F.csv", base: public, relative: "data/a%20b/%C3%BC%25%23%3F.csv"}},
		{"own account by its public URL", account("AccountName=acct;AccountKey=AA==;BlobEndpoint="+public, "data/a.csv"),
			location{url: blobURL + "/acct/data/a.csv", base: public, relative: "data/a.csv"}},
		{"development account", account(development, "data/a.csv"),
			location{url: blobURL + "/devstoreaccount1/data/a.csv", base: blobURL + "/devstoreaccount1/", relative: "data/a.csv"}},
		{"allowed account", account("AccountName=name;AccountKey=AA==;BlobEndpoint=https://ALLOWED.example:443", "data/a.csv"),
			location{url: "https://ALLOWED.example:443/data/a.csv", base: "https://ALLOWED.example:443/", relative: "data/a.csv", far: true}},
		{"signature of an account", account("BlobEndpoint=https://allowed.example/;SharedAccessSignature=?sv=1&sig=a%2Bb=", "data/a.csv"),
			location{url: "https://allowed.example/data/a.csv?sv=1&sig=a%2Bb=", base: "https://allowed.example/", relative: "data/a.csv", far: true}},
		{"signature at the own account", account("AccountName=acct;SharedAccessSignature=sv=1&sig=a", "data/a.csv"),
			location{url: blobURL + "/acct/data/a.csv?sv=1&sig=a", base: public, relative: "data/a.csv"}},
		{"own URL", reference{baseLocation: "https://127.0.0.1:10000/acct/", relativeLocation: "data/a%20b.csv", sasBlobToken: "?sv=1&sig=a"},
			location{url: blobURL + "/acct/data/a%20b.csv?sv=1&sig=a", base: "https://127.0.0.1:10000/acct/", relative: "data/a%20b.csv"}},
		{"public URL", reference{baseLocation: public, relativeLocation: "/data/a.csv", sasBlobToken: "?sig=a"},
			location{url: blobURL + "/acct/data/a.csv?sig=a", base: public, relative: "data/a.csv"}},
		{"public URL in pieces", reference{baseLocation: "https://BLOBS.example.com/st", relativeLocation: "ore/data/a.csv?sig=a"},
			location{url: blobURL + "/acct/data/a.csv?sig=a", base: "https://BLOBS.example.com/st", relative: "ore/data/a.csv"}},
		{"allowed URL", reference{baseLocation: "http://allowed.example:80/", relativeLocation: "data/a.csv", sasBlobToken: "?sig=a"},
			location{url: "http://allowed.example:80/data/a.csv?sig=a", base: "http://allowed.example:80/", relative: "data/a.csv", far: true}},
		{"URL with a blank", reference{baseLocation: public, relativeLocation: "data/a b.csv", sasBlobToken: "?sig=a"},
			location{url: blobURL + "/acct/data/a%20b.csv?sig=a", base: public, relative: "data/a b.csv"}},
		{"string before URL", reference{connectionString: "AccountName=acct;AccountKey=AA==", relativeLocation: "data/a.csv", baseLocation: "http://evil.example/"},
			location{url: blobURL + "/acct/data/a.csv", base: public, relative: "data/a.csv"}},
	} {
		got, p := s.locate(tt.reference)
		if p != nil {
			t.Errorf("%s: %v", tt.name, p.because)
			continue
		}
		byKey := tt.reference.connectionString != "" && !strings.Contains(tt.reference.connectionString, "SharedAccessSignature")
		if (got.key != nil) != byKey || (got.token() != "") != byKey {
			t.Errorf("%s: key %v, token %q", tt.name, got.key, got.token())
		}
		if got.url != tt.want.url || got.base != tt.want.base || got.relative != tt.want.relative || got.far != tt.want.far {
			t.Errorf("%s:\ngot  %s %s %s %v\nwant %s %s %s %v", tt.name, got.url, got.base, got.relative, got.far, tt.want.url, tt.want.base, tt.want.relative, tt.want.far)
		}
	}
}

// The address is looked at when the connection is made, whatever its name.
func TestGuard(t *testing.T) {
	t.Parallel()
	s, err := newStorage(&Config{BlobAccount: "acct", BlobKey: "AA==", AllowBlobHosts: []string{"10.0.0.1:81", "[fd00::1]:82", "127.0.0.2"}})
	if err != nil {
		t.Fatal(err)
	}
	for address, allowed := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true,
		"10.0.0.1:81": true, "[::ffff:10.0.0.1]:81": true, "[fd00::1]:82": true, "127.0.0.2:80": true, "127.0.0.2:443": true,
		"10.0.0.1:80": false, "127.0.0.2:81": false, "127.0.0.1:80": false, "[::1]:80": false, "[fd00::2]:82": false,
		"10.9.9.9:80": false, "172.16.0.1:80": false, "192.168.0.1:80": false, "169.254.169.254:80": false, "100.64.0.1:80": false,
		"0.0.0.0:80": false, "0.1.2.3:80": false, "[::]:80": false, "[::ffff:127.0.0.1]:80": false, "[fe80::1%eth0]:80": false, "224.0.0.1:80": false,
		"255.255.255.255:80": false, "[64:ff9b::7f00:1]:80": false, "[2002:7f00:1::]:80": false, "nonsense": false,
	} {
		if got := s.guard("tcp", address, nil) == nil; got != allowed {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// Over real connections: a name that leads inside is refused, an address that
// is allowed by itself is not, and a redirect is not followed.
func TestFarHosts(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved.csv":
			http.Redirect(w, r, "/data.csv", http.StatusFound)
		case "/data.csv":
			_, _ = w.Write([]byte("Col2\n"))
		case "/long.csv":
			_, _ = w.Write([]byte(strings.Repeat("a", 100)))
			_ = http.NewResponseController(w).Flush() // so that no length is announced
			_, _ = w.Write([]byte("a"))
		}
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	name := net.JoinHostPort("localhost", u.Port())
	open := func(allow []string, base, relative string) error {
		s, err := newStorage(&Config{BlobAccount: "acct", BlobKey: "AA==", AllowBlobHosts: allow})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		at, p := s.locate(reference{baseLocation: base, relativeLocation: relative})
		if p != nil {
			t.Fatal(p.because)
		}
		_, err = s.read(context.Background(), at, 100)
		return err
	}
	if err := open([]string{name}, "http://"+name, "/data.csv"); !errors.Is(err, errPrivate) || reason(err) != errPrivate.Error() {
		t.Errorf("a name that leads inside: %v", err)
	}
	if err := open([]string{u.Host}, srv.URL, "/data.csv"); err != nil {
		t.Errorf("an allowed address: %v", err)
	}
	var refused *azcore.ResponseError
	if err := open([]string{u.Host}, srv.URL, "/moved.csv"); !errors.As(err, &refused) || refused.StatusCode != http.StatusFound || reason(err) != "HTTP status 302" {
		t.Errorf("a redirect: %v", err)
	}
	if err := open([]string{u.Host}, srv.URL, "/long.csv"); !errors.Is(err, errTooLong) {
		t.Errorf("a long blob: %v", err)
	}
}

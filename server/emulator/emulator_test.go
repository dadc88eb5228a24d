package emulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	hashingPath = "/workspaces/demo/services/feature-hashing"
	riskPath    = "/workspaces/demo/services/cardiovascular-risk"
	goodDay     = `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}`
)

func mustNew(t testing.TB, cfg Config) *Emulator {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newRequest makes a request with the default key.
func newRequest(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer demo-key")
	r.Header.Set("Content-Type", "application/json")
	return r
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// execute posts body to the path's execute and query.
func execute(h http.Handler, path, query, body string) *httptest.ResponseRecorder {
	return send(h, newRequest("POST", path+"/execute?"+query, body))
}

// refusal is AzureML's envelope, flattened.
type refusal struct {
	Status          int
	Class, Sentence string
	Code, Message   string
}

// refusalOf reads an envelope strictly: exactly the members that clients read,
// and one entry in details.
func refusalOf(t testing.TB, status int, header http.Header, body []byte) refusal {
	t.Helper()
	if got := header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	var envelope struct {
		Error *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Details []struct {
				Code    string `json:"code"`
				Message string `json:"message"`
			} `json:"details"`
		} `json:"error"`
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&envelope); err != nil || envelope.Error == nil || len(envelope.Error.Details) != 1 {
		t.Fatalf("status %d with no envelope (%v): %.300s", status, err, body)
	}
	detail := envelope.Error.Details[0]
	if envelope.Error.Code == "" || envelope.Error.Message == "" || detail.Code == "" || detail.Message == "" {
		t.Errorf("an empty member in %s", body)
	}
	return refusal{Status: status, Class: envelope.Error.Code, Sentence: envelope.Error.Message, Code: detail.Code, Message: detail.Message}
}

func wantRefusal(t testing.TB, w *httptest.ResponseRecorder, want refusal) {
	t.Helper()
	if w.Code < 400 {
		t.Fatalf("status %d, want %d: %.300s", w.Code, want.Status, w.Body)
	}
	if got := refusalOf(t, w.Code, w.Header(), w.Body.Bytes()); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func wantBody(t testing.TB, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("status %d\ngot  %s\nwant %s", w.Code, w.Body, want)
	}
}

var (
	refusedKey = refusal{Status: 401, Class: "Unauthorized", Sentence: "Request is unauthorized to access resource.",
		Code: "ScoreRequestUnauthorized", Message: "Invalid credentials provided."}
	refusedPath = refusal{Status: 404, Class: "NotFound", Sentence: "Resource not found.", Code: "ResourceNotFound",
		Message: "There is nothing at this path. Verify that it is /workspaces/{workspace}/services/{service}/execute, .../jobs, .../jobs/{job}, .../jobs/{job}/start or .../swagger.json and try again."}
	refusedWorkspace = refusal{Status: 404, Class: "NotFound", Sentence: "Resource not found.",
		Code: "WorkspaceNotFound", Message: "Workspace not found. Verify the workspace Id is correct and try again."}
	refusedService = refusal{Status: 404, Class: "NotFound", Sentence: "Resource not found.",
		Code: "WebServiceNotFound", Message: "Web service not found. Verify the web service Id is correct and try again."}
)

func refusedVerb(allow string) refusal {
	return refusal{Status: 405, Class: "MethodNotAllowed", Sentence: "The resource does not support this method.",
		Code: "MethodNotAllowed", Message: "Allowed here: " + allow + "."}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for _, tt := range []struct {
		method, path string
		want         refusal
	}{
		{"POST", "/workspaces/other/services/feature-hashing/execute", refusedWorkspace},
		{"POST", "/workspaces/Demo/services/feature-hashing/execute", refusedWorkspace},
		{"POST", "/workspaces/%64emo/services/feature-hashing/execute", refusedWorkspace},
		{"POST", "/workspaces//services/feature-hashing/execute", refusedWorkspace},
		{"POST", "/workspaces/demo/services/other/execute", refusedService},
		{"POST", "/workspaces/demo/services/feature-hashing%2Fexecute/execute", refusedService},
		{"POST", "/workspaces/demo/services/../execute", refusedService},
		{"GET", "/workspaces/other/services/feature-hashing/swagger.json", refusedWorkspace},
		{"GET", "/workspaces/demo/services/other/swagger.json", refusedService},
		{"GET", "/", refusedPath},
		{"POST", "/workspaces/demo/services/feature-hashing", refusedPath},
		{"POST", hashingPath + "/jobs/{job}/more", refusedPath},
		{"POST", hashingPath + "/jobs/0/start/more", refusedPath},
		{"POST", hashingPath + "/jobs/0/stop", refusedPath},
		{"POST", "/workspaces/other/services/feature-hashing/jobs", refusedWorkspace},
		{"GET", "/workspaces/demo/services/other/jobs/0", refusedService},
		{"GET", hashingPath + "/jobs", refusedVerb("POST")},
		{"GET", hashingPath + "/jobs/", refusedVerb("POST")},
		{"PUT", hashingPath + "/jobs/0", refusedVerb("GET, HEAD, DELETE")},
		{"GET", hashingPath + "/jobs/0/start", refusedVerb("POST")},
		{"POST", "/workspaces/demo/services/feature-hashing/execute//", refusedPath},
		{"POST", "//workspaces/demo/services/feature-hashing/execute", refusedPath},
		{"POST", "/workspaces/demo/services/feature-hashing/execute/more", refusedPath},
		{"POST", "/subscriptions/demo/services/feature-hashing/execute", refusedPath},
		{"GET", hashingPath + "/execute", refusedVerb("POST")},
		{"HEAD", hashingPath + "/execute", refusedVerb("POST")},
		{"OPTIONS", hashingPath + "/execute", refusedVerb("POST")},
		{"post", hashingPath + "/execute", refusedVerb("POST")},
		{"POST", hashingPath + "/swagger.json", refusedVerb("GET, HEAD")},
		{"GE", hashingPath + "/swagger.json", refusedVerb("GET, HEAD")},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			w := send(e, newRequest(tt.method, tt.path, goodDay))
			if tt.method == "HEAD" {
				if w.Code != tt.want.Status || w.Body.Len() != 0 {
					t.Errorf("status %d with %d bytes", w.Code, w.Body.Len())
				}
				return
			}
			wantRefusal(t, w, tt.want)
			if allow := w.Header().Get("Allow"); tt.want.Status == 405 && tt.want.Message != "Allowed here: "+allow+"." {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
	for _, path := range []string{hashingPath + "/execute", hashingPath + "/execute/", "/Workspaces/demo/SERVICES/feature-hashing/Execute"} {
		if w := send(e, newRequest("POST", path, goodDay)); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{Workspace: "w1", Key: "a+b/c=="})
	const path = "/workspaces/w1/services/feature-hashing/execute"
	for header, good := range map[string]bool{
		"Bearer a+b/c==":        true,
		"bearer a+b/c==":        true,
		"BEARER  a+b/c==":       true,
		"  Bearer a+b/c== ":     true,
		"":                      false,
		"Bearer":                false,
		"Bearer ":               false,
		"a+b/c==":               false,
		"Basic a+b/c==":         false,
		"Bearer a+b/c=":         false,
		"Bearer A+B/C==":        false,
		"Bearer a+b/c== a":      false,
		"Bearer demo-key":       false,
		"Bearera+b/c==":         false,
		"Bearer a+b/c==\x00":    false,
		"Bearer a+b/c==,a+b/c=": false,
	} {
		r := httptest.NewRequest("POST", path, strings.NewReader(goodDay))
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := send(e, r)
		if good {
			if w.Code != http.StatusOK {
				t.Errorf("%q: status %d", header, w.Code)
			}
			continue
		}
		wantRefusal(t, w, refusedKey)
		if got := w.Header().Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%q: WWW-Authenticate is %q", header, got)
		}
	}
}

// Without the key nobody learns what exists, nor is a body read.
func TestKeyIsCheckedFirst(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for _, path := range []string{
		"/workspaces/other/services/feature-hashing/execute",
		"/workspaces/demo/services/other/execute",
		hashingPath + "/execute?api-version=9",
	} {
		r := newRequest("POST", path, "no JSON")
		r.Header.Del("Authorization")
		wantRefusal(t, send(e, r), refusedKey)
	}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestHeaders(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	seen := map[string]bool{}
	for _, r := range []*http.Request{
		newRequest("POST", hashingPath+"/execute", goodDay),
		newRequest("POST", hashingPath+"/execute", "no JSON"),
		newRequest("GET", hashingPath+"/swagger.json", ""),
		newRequest("HEAD", hashingPath+"/swagger.json", ""),
		newRequest("GET", "/nothing", ""),
		newRequest("PUT", hashingPath+"/execute", ""),
	} {
		h := send(e, r).Header()
		id := h.Get("x-ms-request-id")
		if !guid.MatchString(id) || seen[id] {
			t.Errorf("%s %s: x-ms-request-id is %q", r.Method, r.URL, id)
		}
		seen[id] = true
		if _, err := time.Parse(http.TimeFormat, h.Get("Date")); err != nil {
			t.Errorf("%s %s: Date: %v", r.Method, r.URL, err)
		}
		if got := h.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("%s %s: Content-Type is %q", r.Method, r.URL, got)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for query, version := range map[string]string{
		"":                                "2.0",
		"api-version=2.0":                 "2.0",
		"API-Version=2.0":                 "2.0",
		"api-version=1.0":                 "1.0",
		"api-version=":                    "",
		"api-version=2":                   "2",
		"api-version=2.0&api-version=3.0": "3.0",
		"api-version=%ff":                 "\ufffd",
		"api-version=" + strings.Repeat("9", 3000): strings.Repeat("9", 64) + "...",
	} {
		w := execute(e, hashingPath, query, goodDay)
		if version == "2.0" {
			if w.Code != http.StatusOK {
				t.Errorf("%q: status %d", query, w.Code)
			}
			continue
		}
		wantRefusal(t, w, refusal{Status: 400, Class: "BadArgument", Sentence: "Invalid argument provided.", Code: "BadVersionCall",
			Message: "Invalid version parameter was passed during the API call: " + version + ". Check the API help page for passing the correct version and try again."})
	}
}

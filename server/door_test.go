package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/azureml"
)

// okScript is an upstream that is content with everything.
const okScript = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n{\"Results\":{}}"

// connection is a client's connection on which requests are written as they are.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, srv *server.Server) *connection {
	t.Helper()
	c, err := net.Dial("tcp", srv.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &connection{c, bufio.NewReader(c)}
}

// exchange sends a request and reads the answer to it.
func (c *connection) exchange(t *testing.T, request []byte) (*http.Response, string) {
	t.Helper()
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	return c.read(t, string(request[:strings.IndexByte(string(request), ' ')]))
}

func (c *connection) read(t *testing.T, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// envelope reads an error answer and fails the test if clients could not.
func envelope(t *testing.T, resp *http.Response, body string) azureml.ErrorDetail {
	t.Helper()
	var e azureml.Envelope
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code == "" || e.Error.Message == "" || len(e.Error.Details) == 0 {
		t.Fatalf("%s: no error of AzureML's: %q", resp.Status, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("content type of an error: %q", ct)
	}
	return e.Error.Details[0]
}

const execute = "/workspaces/w1/services/s1/execute"

func TestFrontDoor(t *testing.T) {
	for _, tc := range []struct {
		name, line string // line is METHOD TARGET, further header lines behind it
		status     int
		code, says string // of the envelope's first detail
	}{
		{"an encoded slash in an id", "POST /workspaces/w1/services/s%2Fjobs/execute", 404, "RouteNotFound", "nothing at this path"},
		{"an encoded slash that would be another route", "POST /workspaces/w1/services/s1%2Fjobs", 404, "RouteNotFound", ""},
		{"encoded dots", "POST /workspaces/%2e%2e/services/s1/execute", 404, "RouteNotFound", ""},
		{"dots", "POST /workspaces/w1/services/../services/s1/execute", 404, "RouteNotFound", ""},
		{"a dot segment as an id", "POST /workspaces/./services/s1/execute", 404, "RouteNotFound", ""},
		{"two dots as an id", "POST /workspaces/../services/s1/execute", 404, "RouteNotFound", ""},
		{"an empty segment", "POST /workspaces//services/s1/execute", 404, "RouteNotFound", ""},
		{"two slashes at the front", "POST //workspaces/w1/services/s1/execute", 404, "RouteNotFound", ""},
		{"two slashes at the end", "POST " + execute + "//", 404, "RouteNotFound", ""},
		{"an escape that is not needed", "POST /workspaces/w%31/services/s1/execute", 404, "RouteNotFound", ""},
		{"an id of 129 characters", "POST /workspaces/" + strings.Repeat("a", 129) + "/services/s1/execute", 404, "RouteNotFound", ""},
		{"an id that begins with a dash", "POST /workspaces/-w1/services/s1/execute", 404, "RouteNotFound", ""},
		{"another word", "POST /workspaces/w1/services/s1/score", 404, "RouteNotFound", ""},
		{"the root", "GET /", 404, "RouteNotFound", ""},
		{"the server as such", "OPTIONS *", 404, "RouteNotFound", ""},

		{"an unknown parameter", "POST " + execute + "?detail=true", 400, "InvalidQueryParameter", `"detail" is not known; allowed are api-version, subscription-key, details, format`},
		{"a parameter of another route", "POST " + execute + "?page_size=1", 400, "InvalidQueryParameter", ""},
		{"a message's field as a parameter", "POST " + execute + "?json=e30=", 400, "InvalidQueryParameter", `"json"`},
		{"a path's field as a parameter", "POST " + execute + "?workspace=w2", 400, "InvalidQueryParameter", `"workspace"`},
		{"a parameter twice", "POST " + execute + "?details=true&Details=true", 400, "InvalidQueryParameter", "details: given more than once"},
		{"a version twice", "POST " + execute + "?api-version=2.0&api-version=2.0", 400, "InvalidQueryParameter", "api-version: given more than once"},
		{"an empty version", "POST " + execute + "?api-version=", 400, "InvalidQueryParameter", "api-version: the value is empty"},
		{"a parameter without a value", "POST " + execute + "?details", 400, "InvalidQueryParameter", "details: the value is empty"},
		{"a wrong version", "POST " + execute + "?api-version=1.0", 400, "BadVersionCall", `"1.0"`},
		{"a wrong truth value", "POST " + execute + "?details=1", 400, "InvalidQueryParameter", "allowed are true and false"},
		{"a wrong format", "POST " + execute + "?format=xml", 400, "InvalidQueryParameter", `"xml" is not known`},
		{"a broken escape in a value", "POST " + execute + "?format=%zz", 400, "InvalidQueryParameter", "format: the value has a broken escape"},
		{"a broken escape in a name", "POST " + execute + "?%zz=1", 400, "InvalidQueryParameter", ""},
		{"a semicolon", "POST " + execute + "?details=true;format=swagger", 400, "InvalidQueryParameter", ""},
		{"a secret in an unknown name is not repeated", "POST " + execute + "?sig=abc", 400, "InvalidQueryParameter", `"sig"`},

		{"a wrong verb", "GET " + execute, 405, "MethodNotAllowed", "this path takes POST"},
		{"an invented verb", "BREW " + execute, 405, "MethodNotAllowed", ""},
		{"OPTIONS without origins configured", "OPTIONS " + execute + "\nOrigin: https://a.example\nAccess-Control-Request-Method: POST", 405, "MethodNotAllowed", ""},
		{"a verb wrong on a page", "POST /healthz", 405, "MethodNotAllowed", "GET, HEAD"},
		{"a form that overrides its verb", "POST /workspaces/w1/services/s1/jobs/j1\nX-HTTP-Method-Override: DELETE\nContent-Type: application/x-www-form-urlencoded", 405, "MethodNotAllowed", "GET, HEAD, DELETE"},
		{"a form in place of GET", "POST /workspaces/w1/services/s1/swagger.json\nX-HTTP-Method-Override: GET\nContent-Type: application/x-www-form-urlencoded", 405, "MethodNotAllowed", ""},

		{"two credentials", "POST " + execute + "\nAuthorization: Bearer k1\nAuthorization: Bearer k2", 400, "BadParameterValue", "authorization: given 2 times"},
		{"a broken timeout", "POST " + execute + "\nGrpc-Timeout: soon", 400, "BadParameterValue", "Grpc-Timeout"},
		{"a timeout that has passed", "POST " + execute + "\nGrpc-Timeout: 1n", 504, "BackendScoreTimeout", "deadline"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			up := newScriptedUpstream(t, okScript)
			cfg := testConfig()
			cfg.Upstream = up.url()
			first, headers, _ := strings.Cut(tc.line, "\n")
			request := first + " HTTP/1.1\nHost: a\n" + headers + "\nContent-Length: auto\n\n{}"
			request = strings.Replace(request, "\n\nContent", "\nContent", 1)
			c := connect(t, start(t, cfg))
			resp, body := c.exchange(t, wire(request))
			detail := envelope(t, resp, body)
			if resp.StatusCode != tc.status || detail.Code != tc.code || !strings.Contains(detail.Message, tc.says) || detail.Target != "amlgate" {
				t.Errorf("%d %+v, want %d %s by amlgate, saying %q", resp.StatusCode, detail, tc.status, tc.code, tc.says)
			}
			if tc.status == http.StatusMethodNotAllowed && resp.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if asked := up.asked(); len(asked) > 0 {
				t.Errorf("the upstream was asked: %s", asked[0])
			}
			// Whatever was refused, the connection goes on.
			if resp, body := c.exchange(t, wire("POST "+execute+" HTTP/1.1\nHost: a\nContent-Length: auto\n\n{}")); resp.StatusCode != 200 || body != `{"Results":{}}` {
				t.Errorf("the next call on the connection: %s %s", resp.Status, body)
			}
		})
	}
}

func TestFrontDoorAccepts(t *testing.T) {
	for _, tc := range []struct{ name, request, asked string }{
		{"one slash at the end", "POST " + execute + "/ HTTP/1.1\nHost: a\nContent-Length: auto\n\n{}", execute + "?api-version=2.0&details=false"},
		{"any case of the fixed words", "POST /WORKSPACES/W1/Services/s1/EXECUTE?API-Version=2.0&DETAILS=True&Format=swagger HTTP/1.1\nHost: a\nContent-Length: auto\n\n{}", "/workspaces/W1/services/s1/execute?api-version=2.0&details=true&format=swagger"},
		{"a form's content type on JSON, as curl -d sends", "POST " + execute + "?details=true HTTP/1.1\nHost: a\nContent-Type: application/x-www-form-urlencoded\nContent-Length: auto\n\n{}", execute + "?api-version=2.0&details=true"},
		{"an absolute target", "POST http://a" + execute + " HTTP/1.1\nHost: a\nContent-Length: auto\n\n{}", execute + "?api-version=2.0&details=false"},
		{"a method override, which means nothing", "POST " + execute + " HTTP/1.1\nHost: a\nX-HTTP-Method-Override: GET\nContent-Length: auto\n\n{}", execute + "?api-version=2.0&details=false"},
		{"a chunked body", "POST " + execute + " HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", execute + "?api-version=2.0&details=false"},
		{"the longest id", "POST /workspaces/" + strings.Repeat("a", 128) + "/services/s1/execute HTTP/1.1\nHost: a\nContent-Length: auto\n\n{}", "/workspaces/" + strings.Repeat("a", 128) + "/services/s1/execute?api-version=2.0&details=false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			up := newScriptedUpstream(t, okScript)
			cfg := testConfig()
			cfg.Upstream = up.url() + "/"
			resp, body := connect(t, start(t, cfg)).exchange(t, wire(tc.request))
			if resp.StatusCode != 200 || body != `{"Results":{}}` {
				t.Errorf("%s %s", resp.Status, body)
			}
			asked := up.asked()
			if len(asked) != 1 || !strings.HasPrefix(asked[0], "POST "+tc.asked+"\n") || !strings.HasSuffix(asked[0], "\n\n{}") {
				t.Errorf("the upstream was asked %q, want %s with the body", asked, tc.asked)
			}
		})
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	cfg := testConfig()
	cfg.Upstream = newScriptedUpstream(t, okScript).url()
	c := connect(t, start(t, cfg))
	awaitReady(t, c)
	for _, path := range []string{"/workspaces/w1/services/s1/swagger.json", "/healthz", "/readyz", "/openapi.json"} {
		head, none := c.exchange(t, wire("HEAD "+path+" HTTP/1.1\nHost: a\n\n"))
		get, body := c.exchange(t, wire("GET "+path+" HTTP/1.1\nHost: a\n\n"))
		if none != "" || head.StatusCode != 200 || head.ContentLength != int64(len(body)) || get.Header.Get("Content-Type") != head.Header.Get("Content-Type") {
			t.Errorf("%s: HEAD %s %q of %d bytes; GET %s of %d", path, head.Status, none, head.ContentLength, get.Status, len(body))
		}
	}
}

func TestCORSOnlyForConfiguredOrigins(t *testing.T) {
	cfg := testConfig()
	cfg.CORSOrigin = []string{"https://app.example.com"}
	c := connect(t, start(t, cfg))
	preflight := "OPTIONS " + execute + " HTTP/1.1\nHost: a\nOrigin: %s\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization,content-type\n\n"
	resp, _ := c.exchange(t, wire(fmt.Sprintf(preflight, "https://app.example.com")))
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("a configured origin: %s %v", resp.Status, resp.Header)
	}
	resp, _ = c.exchange(t, wire(fmt.Sprintf(preflight, "https://evil.example.com")))
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another origin was allowed: %q", got)
	}
}

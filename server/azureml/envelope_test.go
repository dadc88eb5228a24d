package azureml_test

import (
	"strings"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server/azureml"
)

const unauthorized = `{"error":{"code":"Unauthorized","message":"Request is unauthorized to access resource.",
          "details":[{"code":"ScoreRequestUnauthorized","message":"Invalid credentials provided."}]}}` // a capture

// Error answers come back whole; what is AzureML's envelope is read, and nothing else is taken for it.
func TestErrorAnswers(t *testing.T) {
	captured := azureml.ErrorBody{Code: "Unauthorized", Message: "Request is unauthorized to access resource.",
		Details: []azureml.ErrorDetail{{Code: "ScoreRequestUnauthorized", Message: "Invalid credentials provided."}}}
	const jsonHead, noError = "\nContent-Type: application/json; charset=utf-8", " with a body of application/json that is not AzureML's error"
	for _, tc := range []struct {
		name, head, body string
		want             azureml.ErrorBody
		reason           string // behind "the upstream answered 4xx"
	}{
		{"a capture", "401 Unauthorized" + jsonHead, unauthorized, captured, ""},
		{"any type, byte order mark", "401 Unauthorized\nContent-Type: text/plain", "\ufeff" + unauthorized, captured, ""},
		{"packed", "401 Unauthorized\nContent-Encoding: gzip" + jsonHead, zipped(t, unauthorized), captured, ""},
		{"with a coding that is none", "401 Unauthorized\nContent-Encoding: UTF-8" + jsonHead, unauthorized, captured, ""},
		{"with a target", "400 Bad Request" + jsonHead, `{"error":{"code":"LibraryExecutionError","message":"m","details":[{"code":"FailedToEvaluateRScript","target":"Execute R Script Piped (RPackage)","message":"d"},{"code":"c"}],"innererror":{}},"x":1}`,
			azureml.ErrorBody{Code: "LibraryExecutionError", Message: "m", Details: []azureml.ErrorDetail{{Code: "FailedToEvaluateRScript", Target: "Execute R Script Piped (RPackage)", Message: "d"}, {Code: "c"}}}, ""},
		{"without details", "404 Not Found" + jsonHead, `{"error":{"code":"NotFound","message":"m","details":null}}`, azureml.ErrorBody{Code: "NotFound", Message: "m"}, ""},
		{"today's integer code", "400 Bad Request" + jsonHead, `{"error":{"code":400,"message":"Input Data Error."}}`, azureml.ErrorBody{}, noError},
		{"details of another shape", "400 Bad Request" + jsonHead, `{"error":{"code":"c","message":"m","details":[{"code":7}]}}`, azureml.ErrorBody{}, noError},
		{"details that are a text", "400 Bad Request" + jsonHead, `{"error":{"code":"c","message":"m","details":"d"}}`, azureml.ErrorBody{}, noError},
		{"a message alone", "500 Oops" + jsonHead, `{"error":{"message":"m"}}`, azureml.ErrorBody{Message: "m"}, noError},
		{"an error that is a text", "500 Oops" + jsonHead, `{"error":"m"}`, azureml.ErrorBody{}, noError},
		{"torn JSON", "500 Oops" + jsonHead, unauthorized[:len(unauthorized)-1], azureml.ErrorBody{}, noError},
		{"more behind it", "500 Oops" + jsonHead, unauthorized + "x", azureml.ErrorBody{}, noError},
		{"HTML", "502 Bad Gateway\nContent-Type: text/html", "<html>", azureml.ErrorBody{}, " with a body of text/html that is not AzureML's error"},
		{"nothing", "503 Busy", "", azureml.ErrorBody{}, " with a body that is not AzureML's error"},
		{"packed otherwise", "503 Busy\nContent-Encoding: br" + jsonHead, unauthorized, azureml.ErrorBody{}, noError},
		{"packed and torn", "503 Busy\nContent-Encoding: gzip" + jsonHead, zipped(t, unauthorized)[:30], azureml.ErrorBody{}, noError},
		{"a bomb", "503 Busy\nContent-Encoding: gzip" + jsonHead, zipped(t, unauthorized+strings.Repeat(" ", 2<<20)), azureml.ErrorBody{}, noError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := answering(t, "HTTP/1.1 "+tc.head+"\nx-ms-request-id: up-1\nContent-Length: auto", tc.body)
			answer, err := execute(t, up.client(t))
			e := wantError(t, answer, err, azureml.Answered)
			if d := diff(tc.want, e.Envelope.Error); d != "" {
				t.Errorf("the envelope differs (-want +got):\n%s", d)
			}
			wantText(t, "the error", e.Error(), "the upstream answered "+tc.head[:3]+tc.reason)
			wantText(t, "Body", string(e.Body), tc.body)
			if got := e.Header.Get("X-Ms-Request-Id"); got != "up-1" || tc.head[:3] != strings.TrimSpace(status(e)) {
				t.Errorf("the status is %d, the request id %q", e.Status, got)
			}
			switch {
			case tc.want.Code != "" && strings.Contains(tc.head, "gzip"):
				wantText(t, "Plain", string(e.Plain), unauthorized)
			case tc.want.Code != "":
				wantText(t, "Plain", string(e.Plain), tc.body)
			case strings.HasPrefix(tc.name, "packed") || tc.name == "a bomb":
				wantText(t, "Plain", string(e.Plain), "")
			}
		})
	}
}

func status(e *azureml.Error) string {
	return string([]byte{byte('0' + e.Status/100), byte('0' + e.Status/10%10), byte('0' + e.Status%10)})
}

// Retry-After is read from any error answer, seconds or date; the header passes as it came.
func TestRetryAfterOfAnswers(t *testing.T) {
	for v, want := range map[string]time.Duration{"7": 7 * time.Second, "Thu, 01 Jan 1970 00:00:00 GMT": 0, "garbage": 0} {
		up := answering(t, "HTTP/1.1 503 Busy\nRetry-After: "+v+"\nContent-Length: auto", unauthorized)
		answer, err := execute(t, up.client(t))
		e := wantError(t, answer, err, azureml.Answered)
		if e.RetryAfter != want || e.Header.Get("Retry-After") != v {
			t.Errorf("Retry-After: %s reads as %s, passes as %q", v, e.RetryAfter, e.Header.Get("Retry-After"))
		}
	}
	up := answering(t, "HTTP/1.1 429 Slow\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\nContent-Length: auto", unauthorized)
	answer, err := execute(t, up.client(t))
	if e := wantError(t, answer, err, azureml.Answered); e.RetryAfter < 24*time.Hour {
		t.Errorf("a date in the future reads as %s", e.RetryAfter)
	}
}

// Options are refused by name, and without the secret that such a URL may hold.
func TestNewClientErrors(t *testing.T) {
	const (
		absolute = "upstream: an absolute http or https URL is needed, for example https://ussouthcentral.services.azureml.net"
		user     = "upstream: user and password in the URL are not sent; callers' own keys are"
		query    = "upstream: the URL ends with its path; query and fragment are not allowed"
	)
	for _, tc := range []struct{ url, want string }{
		{"", absolute}, {"host", absolute}, {"host:80", absolute}, {"/path", absolute}, {"//host", absolute}, {"ftp://host", absolute}, {"http://", absolute}, {"http:///path", absolute}, {"file:///etc/passwd", absolute},
		{"http:host", absolute}, {"http://host:port", absolute}, {"http://ho st", absolute}, {"http://u:hunter2@ho st", absolute}, {"http://u:hunter2@", absolute}, {"://u:hunter2@host", absolute}, {"http://host/%zz", absolute}, {"http://[::1", absolute}, {"http://host\n/", absolute},
		{"http://u:hunter2@host", user}, {"https://hunter2@host/", user}, {"http://@host", user}, {"http://u:hunter2@host?x", user},
		{"http://host?sig=hunter2", query}, {"http://host/?", query}, {"http://host#hunter2", query}, {"http://host/path?a=b#c", query},
	} {
		c, err := azureml.NewClient(azureml.Options{BaseURL: tc.url})
		if err == nil || c != nil {
			t.Errorf("%q is taken", tc.url)
			continue
		}
		wantText(t, tc.url+": the error", err.Error(), tc.want)
	}
	for _, url := range []string{"http://host", "https://host:8443/", "HTTP://host/a/b//", "http://[::1]:80", "http://127.0.0.1"} {
		newClient(t, azureml.Options{BaseURL: url, Timeout: -1, MaxAnswer: -1})
	}
}

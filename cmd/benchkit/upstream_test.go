package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// TestUpstreamReadsWhatItIsSent: the upstream takes any spelling of a size's table and nothing else, however often.
func TestUpstreamReadsWhatItIsSent(t *testing.T) {
	handler := upstreamHandler()
	small := load.Sizes[0]
	request := string(small.Request())
	for _, c := range []struct {
		service, body string
		want          int
	}{
		{"small", request, 200},
		{"small", request, 200},
		{"small", strings.ReplaceAll(request, ":", ": "), 200},
		{"small", request[:len(request)-1], 400},
		{"small", strings.Replace(request, `[["`, `[["",`+`"`, 1), 400},
		{"small", `{"Inputs":{}}`, 400},
		{"small", "", 400},
		{"medium", request, 400},
		{"unknown", request, 404},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/workspaces/w1/services/"+c.service+"/execute", strings.NewReader(c.body)))
		if w.Code != c.want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %d %s", c.service, c.body, w.Code, w.Body)
		}
		if c.want == 200 && w.Body.String() != string(small.Answer()) {
			t.Errorf("the answer is %s", w.Body)
		}
	}
}

// TestReverseProxyWantsAKey: the peer does the work that is compared.
func TestReverseProxyWantsAKey(t *testing.T) {
	handler := keyed(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for key, want := range map[string]int{"": 401, "key-1000-5f2b9a": 401, callerKey(0): 200, callerKey(999): 200} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set(keyHeader, key)
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d", key, w.Code)
		}
	}
}

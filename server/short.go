package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/amlgate/amlgate/server/api"
)

// scoringQuery is the query of a scoring call.
type scoringQuery struct{ version, details, format string }

// usualQuery reads a query that is written as the guides have it; whether it is, is told by ok. All else is the front
// door's to judge.
func usualQuery(raw string) (q scoringQuery, ok bool) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		var to *string
		switch name {
		case "api-version":
			to = &q.version
		case "details":
			if value != "true" && value != "false" {
				return q, false
			}
			to = &q.details
		case "format":
			to = &q.format
		}
		if to == nil || *to != "" || value == "" || strings.ContainsAny(value, "%+;") {
			return q, false
		}
		*to = value
	}
	return q, true
}

// execute is a shorter way for scoring calls, which are nearly all calls there are: it fills the message itself, where
// the generated mux would match the path and parse the query once more, and runs the same chain. What is unusual goes
// the generated way; the stories hold both to the same answers.
func (s *surface) execute(w http.ResponseWriter, r *http.Request, x *exchange, path string, q scoringQuery) {
	call, req := &x.call, &x.request
	req.ApiVersion, req.Details, req.Format = q.version, q.details == "true", q.format
	req.Workspace, req.Service = namesOf(path)
	req.Payload = &x.payload
	if call.Request != nil {
		x.payload.Json = call.Request.B
	}
	resp, err := s.scoring.Execute(api.WithCall(r.Context(), call), req)
	if err != nil {
		fail(w, call, api.FailureOf(err))
		return
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	head(h, call)
	body := resp.GetJson()
	x.length[0] = strconv.Itoa(len(body))
	h["Content-Length"] = x.length[:]
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

var jsonType = []string{rawMarshaler{}.ContentType(nil)}

// namesOf returns the ids in a canonical path /workspaces/{workspace}/services/{service}/...
func namesOf(path string) (workspace, service string) {
	workspace, rest, _ := strings.Cut(strings.TrimPrefix(path, "/workspaces/"), "/")
	service, _, _ = strings.Cut(strings.TrimPrefix(rest, "services/"), "/")
	return workspace, service
}

// short reports whether a call can go the short way, and with which query. A deadline is the generated mux's to read.
func short(r *http.Request, v *verb) (scoringQuery, bool) {
	if !v.short || len(r.Header["Grpc-Timeout"]) > 0 {
		return scoringQuery{}, false
	}
	return usualQuery(r.URL.RawQuery)
}

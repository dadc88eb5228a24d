package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
)

const (
	okAnswer  = `{"Results":{"output1":{"type":"table","value":{"ColumnNames":["c"],"ColumnTypes":["Int32"],"Values":[["7"],[null]]}}}}`
	wantTwo   = "The only one known is 2.0"
	longestID = 128
)

func inJSON(body string) *v1.ExecuteRequest {
	return &v1.ExecuteRequest{Workspace: "w", Service: "s", Payload: &v1.ExecuteRequest_Json{Json: []byte(body)}}
}

func inTables(input *v1.ScoringInput) *v1.ExecuteRequest {
	return &v1.ExecuteRequest{Workspace: "w", Service: "s", Payload: &v1.ExecuteRequest_Tables{Tables: input}}
}

// with returns the request after a change.
func with(req *v1.ExecuteRequest, change func(*v1.ExecuteRequest)) *v1.ExecuteRequest {
	change(req)
	return req
}

// A request that is wrong is refused by field and reason, and the upstream is not asked.
func TestExecuteRefuses(t *testing.T) {
	tables := func() *v1.ExecuteRequest { return inTables(&v1.ScoringInput{}) }
	for _, tc := range []struct {
		name   string
		req    *v1.ExecuteRequest
		reason Reason
		field  string // as gRPC's details name it
		text   string
	}{
		{"no workspace", with(inJSON("{}"), func(r *v1.ExecuteRequest) { r.Workspace = "" }), InvalidField, "workspace", wantID},
		{"a path for a workspace", with(inJSON("{}"), func(r *v1.ExecuteRequest) { r.Workspace = "../x" }), InvalidField, "workspace", wantID},
		{"no service", with(tables(), func(r *v1.ExecuteRequest) { r.Service = "" }), InvalidField, "service", wantID},
		{"a query in a service", with(tables(), func(r *v1.ExecuteRequest) { r.Service = "s?x" }), InvalidField, "service", wantID},
		{"another version", with(inJSON("{}"), func(r *v1.ExecuteRequest) { r.ApiVersion = "2.0 " }), BadAPIVersion, "api-version", `Invalid version parameter was passed during the API call: "2.0 ". ` + wantTwo},
		{"no payload", &v1.ExecuteRequest{Workspace: "w", Service: "s"}, InvalidField, "payload", "one of json and tables is required"},
		{"an unknown format", with(inJSON("{}"), func(r *v1.ExecuteRequest) { r.Format = "Swagger" }), InvalidQuery, "format", `"Swagger" is not known; allowed are "swagger" and none`},
		{"details of tables", with(tables(), func(r *v1.ExecuteRequest) { r.Details = true }), InvalidField, "details", "belongs to the json lane; the tables lane always asks for details"},
		{"a format of tables", with(tables(), func(r *v1.ExecuteRequest) { r.Format = "swagger" }), InvalidField, "format", "belongs to the json lane; tables have one format"},
		{"a column without a vector", inTables(&v1.ScoringInput{Inputs: map[string]*v1.Table{"in": {Columns: []*v1.Column{{Name: "c"}}}}}), InvalidField, `tables.inputs["in"].columns[0].values`,
			`column "c" has no vector; one of doubles, int64s, strings, bools is needed`},
		{"a column that is none", inTables(&v1.ScoringInput{Inputs: map[string]*v1.Table{"in": {Columns: []*v1.Column{nil}}}}), InvalidField, `tables.inputs["in"].columns[0].values`,
			`column "" has no vector; one of doubles, int64s, strings, bools is needed`},
		{"rows that are not there", inTables(&v1.ScoringInput{Inputs: map[string]*v1.Table{"in": {RowCount: 2, Columns: []*v1.Column{{Values: &v1.Column_Bools{Bools: &v1.Bools{Values: []bool{true}}}}}}}}), InvalidField,
			`tables.inputs["in"].row_count`, "2, but the columns have 1 rows; leave it out or make it equal"},
		{"one byte too many of json", inJSON(strings.Repeat(" ", limit+1)), RequestTooLarge, "json", "more than 1048576 bytes of JSON; AzureML takes no larger request (the limit here is --max-body)"},
		{"too many rows", inTables(&v1.ScoringInput{Inputs: map[string]*v1.Table{"in": {RowCount: 4_000_000_000}}}), RequestTooLarge, "tables", "more than 1048576 bytes of JSON; AzureML takes no larger request (the limit here is --max-body)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newFake(t, 200, nil, okAnswer)
			ctx, call := calling(t)
			answer, err := up.Execute(ctx, tc.req)
			f := wantFailure(t, answer, err)
			wantText(t, "the error", f.Error(), tc.field+": "+tc.text)
			if f.GRPCStatus().Code() != own[tc.reason].code || f.HTTP != own[tc.reason].http {
				t.Errorf("%s, %d", f.Code(), f.HTTP)
			}
			info := &errdetails.ErrorInfo{Domain: "amlgate", Reason: string(tc.reason)}
			if tc.reason == RequestTooLarge {
				wantDetails(t, f, info, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "request", Description: tc.text}}})
			} else {
				wantDetails(t, f, info, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: tc.field, Description: tc.text}}})
			}
			if up.asked.Load() != 0 || call.UpstreamStatus != 0 || call.Answer != nil {
				t.Errorf("the upstream was asked: %d times, %d, %v", up.asked.Load(), call.UpstreamStatus, call.Answer)
			}
		})
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "Z": true, "0": true, "a.b_c-D": true, "539d0bc2fde945b6ac986b851d0000f0": true, strings.Repeat("x", longestID): true,
		"": false, strings.Repeat("x", longestID+1): false, ".": false, "..": false, ".a": false, "_a": false, "-a": false, "a/b": false, "a%2Fb": false, "a b": false, "a\n": false, "\na": false, "é": false, "a\x00": false, "a?": false, "a#": false, "a;": false, "a:": false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

// The json lane passes bytes: what is wrong with them is the upstream's to say.
func TestExecuteJSON(t *testing.T) {
	for body, target := range map[string]*v1.ExecuteRequest{
		"details=false":                inJSON(`{"Inputs": {"a" : [1.50]}}`),
		"details=true":                 with(inJSON("no JSON\xff"), func(r *v1.ExecuteRequest) { r.Details, r.ApiVersion = true, "2.0" }),
		"details=false&format=swagger": with(inJSON(""), func(r *v1.ExecuteRequest) { r.Format = "swagger" }),
		"details=true&format=swagger":  with(inJSON(strings.Repeat("x", limit)), func(r *v1.ExecuteRequest) { r.Details, r.Format = true, "swagger" }),
	} {
		up := newFake(t, 200, map[string]string{"X-Ms-Request-Id": "up-1", "Set-Cookie": "a=b", "Content-Type": "application/json"}, "{\"any\" : [1.50, \"\xff\"]}\n")
		ctx, call := calling(t)
		sent := string(target.GetJson()) // afterwards the bytes are not the message's any more
		call.Header = http.Header{"Authorization": {"Bearer k"}, "Content-Type": {"text/json"}, "Cookie": {"x"}}
		answer, err := up.Execute(ctx, target)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "the answer", string(answer.GetJson()), up.body)
		wantText(t, "the body", up.sent.Load().(string), sent)
		r := up.last.Load()
		wantText(t, "the URL", r.URL.String(), "/workspaces/w/services/s/execute?api-version=2.0&"+body)
		if r.Header.Get("Authorization") != "Bearer k" || r.Header.Get("Content-Type") != "text/json" || r.Header.Get("Cookie") != "" {
			t.Errorf("the header is %v", r.Header)
		}
		if call.UpstreamStatus != 200 || call.Upstream <= 0 || call.Answer.Get("X-Ms-Request-Id") != "up-1" || call.Answer.Get("Set-Cookie") != "" || up.asked.Load() != 1 {
			t.Errorf("the call notes %+v, asked %d times", call, up.asked.Load())
		}
	}
}

// A packed answer goes on packed over REST, whose header says so, and unpacked to stubs, which could not tell.
func TestPackedAnswers(t *testing.T) {
	packed, bomb := zipped(t, okAnswer), zipped(t, "{"+strings.Repeat(" ", limit)+"}")
	for _, tc := range []struct {
		name, body string
		raw        bool
		want       string
		reason     Reason
	}{
		{"REST", packed, true, packed, ""}, {"stubs", packed, false, okAnswer, ""}, {"a bomb over REST", bomb, true, bomb, ""},
		{"a bomb to stubs", bomb, false, "", AnswerTooLarge}, {"no gzip", okAnswer, false, "", UpstreamForeign},
	} {
		up := newFake(t, 200, map[string]string{"Content-Encoding": "gzip"}, tc.body)
		ctx, call := calling(t)
		call.Raw = tc.raw
		answer, err := up.Execute(ctx, inJSON("{}"))
		if tc.reason == "" {
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			wantText(t, tc.name, string(answer.GetJson()), tc.want)
			continue
		}
		f := wantFailure(t, answer, err)
		wantDetails(t, f, &errdetails.ErrorInfo{Domain: "amlgate", Reason: string(tc.reason)})
		// Tables are for stubs, whatever the call says.
		answer, err = up.Execute(ctx, inTables(&v1.ScoringInput{}))
		wantDetails(t, wantFailure(t, answer, err), &errdetails.ErrorInfo{Domain: "amlgate", Reason: string(tc.reason)})
	}
}

// An answer that the tables lane cannot show is the caller's to fetch otherwise, or the upstream's fault.
func TestAnswersThatAreNoTable(t *testing.T) {
	for _, tc := range []struct {
		body   string
		reason Reason
		text   string
	}{
		{`{"Results":{"output1":[{"a":"b"}]}}`, AnswerNotTable, `output "output1" is no table: it is a list of rows or a single value; use the json lane`},
		{`{"x":1}`, AnswerNotTable, `the answer is no table: it has no "Results"; use the json lane`},
		{`{"Results":{"o":{"value":{"Values":[[1],[1,2]]}}}}`, AnswerNotTable, `output "o" is no table: row 1 has 2 cells for 1 columns; use the json lane`},
		{`{"Results":{"output1":[{"a":"b"}]},}`, UpstreamForeign, "the upstream's answer cannot be read: no valid JSON at byte 35: a member's name expected"},
		{"<html>", UpstreamForeign, "the upstream answered 200 with a body of text/plain that is not AzureML's JSON"},
	} {
		up := newFake(t, 200, map[string]string{"Content-Type": "text/plain", "X-Ms-Request-Id": "up-1"}, tc.body)
		ctx, call := calling(t)
		answer, err := up.Execute(ctx, inTables(&v1.ScoringInput{}))
		f := wantFailure(t, answer, err)
		wantText(t, "the error", f.Error(), tc.text)
		wantDetails(t, f, &errdetails.ErrorInfo{Domain: "amlgate", Reason: string(tc.reason)})
		if call.UpstreamStatus != 200 || call.Answer.Get("X-Ms-Request-Id") != "up-1" {
			t.Errorf("the call notes %+v", call)
		}
		var syntax *azureml.SyntaxError
		if got := errors.As(f.Cause, &syntax); got != strings.Contains(tc.text, "at byte") {
			t.Errorf("the cause is %v", f.Cause)
		}
	}
}

// Errors of the exchange itself reach the caller as what they are, and the call notes what the upstream said.
func TestExecuteFails(t *testing.T) {
	up := newFake(t, 503, map[string]string{"X-Ms-Request-Id": "up-1", "Retry-After": "7"}, `{"error":{"code":"ServiceUnavailable","message":"M","details":[{"code":"RequestThrottled","message":"m"}]}}`)
	for name, req := range map[string]func() *v1.ExecuteRequest{
		"json": func() *v1.ExecuteRequest { return inJSON("{}") }, "tables": func() *v1.ExecuteRequest { return inTables(&v1.ScoringInput{}) },
	} {
		ctx, call := calling(t)
		answer, err := up.Execute(ctx, req())
		if f := wantFailure(t, answer, err); f.GRPCStatus().Code() != codes.ResourceExhausted || f.HTTP != 503 {
			t.Errorf("%s: %s, %d", name, f.Code(), f.HTTP)
		}
		if call.UpstreamStatus != 503 || call.Answer.Get("X-Ms-Request-Id") != "up-1" || call.Upstream <= 0 {
			t.Errorf("%s: the call notes %+v", name, call)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		answer, err = up.Execute(cancelled, req())
		f := wantFailure(t, answer, err)
		if f.GRPCStatus().Code() != codes.Canceled || !errors.Is(f, context.Canceled) {
			t.Errorf("%s: cancelled, it ends with %v", name, f)
		}
	}
	// A call that came past every listener has no Call, and works.
	answer, err := up.Execute(t.Context(), inJSON("{}"))
	wantFailure(t, answer, err)
	if got := fmt.Sprint(CallFrom(t.Context())); got != fmt.Sprint(&Call{}) {
		t.Errorf("no Call is %s", got)
	}
}

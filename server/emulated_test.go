package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// TestBadInputInTheUpstreamsWords sends bad calls through both surfaces to the embedded emulator, which is as strict as
// AzureML's documents say, and checks that both tell the same.
func TestBadInputInTheUpstreamsWords(t *testing.T) {
	hashing := func(input string) string { return `{"Inputs":{"input1":` + input + `},"GlobalParameters":{}}` }
	risk := func(row string) string {
		return hashing(`{"ColumnNames":["Sex","Age","TotalCholesterol","HdlCholesterol","SystolicBloodPressure","Treated","Smoker","Diabetic"],"Values":[["male",53,161,55,125,true,false,true],` + row + `]}`)
	}
	const good, fh, cr = "Bearer demo-key", "feature-hashing", "cardiovascular-risk"
	for _, tc := range []struct {
		name, key, workspace, service, body string
		http                                int
		grpc                                codes.Code
		code, says                          string
	}{
		{"no key", "", "demo", fh, hashing(`[]`), 401, codes.Unauthenticated, "ScoreRequestUnauthorized", "Invalid credentials"},
		{"a wrong key", "Bearer demo-kez", "demo", fh, hashing(`[]`), 401, codes.Unauthenticated, "ScoreRequestUnauthorized", "Invalid credentials"},
		{"a key without its scheme", "demo-key", "demo", fh, hashing(`[]`), 401, codes.Unauthenticated, "ScoreRequestUnauthorized", ""},
		{"an unknown workspace", good, "other", fh, hashing(`[]`), 404, codes.NotFound, "WorkspaceNotFound", ""},
		{"an unknown service", good, "demo", "other", hashing(`[]`), 404, codes.NotFound, "WebServiceNotFound", "Web service not found"},
		{"no body", good, "demo", fh, "", 400, codes.InvalidArgument, "RequestBodyInvalid", ""},
		{"malformed JSON", good, "demo", fh, `{"Inputs":`, 400, codes.InvalidArgument, "RequestBodyInvalid", ""},
		{"another outer shape", good, "demo", fh, `[1,2]`, 400, codes.InvalidArgument, "RequestBodyInvalid", ""},
		{"a bare NaN", good, "demo", fh, hashing(`{"ColumnNames":["Col2"],"Values":[[NaN]]}`), 400, codes.InvalidArgument, "RequestBodyInvalid", ""},
		{"deep nesting", good, "demo", fh, hashing(strings.Repeat("[", 100000) + strings.Repeat("]", 100000)), 400, codes.InvalidArgument, "RequestBodyInvalid", ""},
		{"invalid UTF-8", good, "demo", fh, hashing("{\"ColumnNames\":[\"Col2\"],\"Values\":[[\"\xff\"]]}"), 400, codes.InvalidArgument, "RequestBodyInvalid", "UTF-8"},
		{"an unknown input", good, "demo", fh, `{"Inputs":{"Input1":[]}}`, 400, codes.InvalidArgument, "InvalidInputNames", "Input1"},
		{"no input", good, "demo", fh, `{"Inputs":{}}`, 400, codes.InvalidArgument, "MissingRequestInput", ""},
		{"too many cells", good, "demo", fh, hashing(`{"ColumnNames":["Col2"],"Values":[["a"],["a","b"]]}`), 400, codes.InvalidArgument, "InputParseError", "row 1: 2 cells, expected 1"},
		{"too few cells", good, "demo", cr, risk(`["male"]`), 400, codes.InvalidArgument, "InputParseError", "row 1: 1 cells, expected 8"},
		{"a cell that does not fit", good, "demo", cr, risk(`["male","abc",161,55,125,true,false,true]`), 400, codes.InvalidArgument, "InputParseError", `row 1, column "Age": "abc"`},
		{"an unknown column", good, "demo", fh, hashing(`[{"Col3":"a"}]`), 400, codes.InvalidArgument, "InputMismatchError", "Col3"},
		{"an unknown parameter", good, "demo", fh, `{"Inputs":{"input1":[]},"GlobalParameters":{"Seed":1}}`, 400, codes.InvalidArgument, "UnexpectedParameter", "Seed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := start(t, testConfig())
			head, ctx := "", t.Context()
			if tc.key != "" {
				head, ctx = "\r\nAuthorization: "+tc.key, metadata.AppendToOutgoingContext(ctx, "authorization", tc.key)
			}
			request := fmt.Sprintf("POST /workspaces/%s/services/%s/execute?api-version=2.0 HTTP/1.1\r\nHost: a%s\r\nContent-Length: %d\r\n\r\n%s", tc.workspace, tc.service, head, len(tc.body), tc.body)
			resp, body := connect(t, srv).exchange(t, []byte(request))
			d := envelope(t, resp, body)
			if resp.StatusCode != tc.http || d.Code != tc.code || !strings.Contains(d.Message, tc.says) || d.Target == "amlgate" {
				t.Errorf("REST: %s %+v, want %d %s saying %q", resp.Status, d, tc.http, tc.code, tc.says)
			}
			_, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(ctx, &v1.ExecuteRequest{Workspace: tc.workspace, Service: tc.service, Payload: &v1.ExecuteRequest_Json{Json: []byte(tc.body)}})
			st := status.Convert(err)
			if st.Code() != tc.grpc || st.Message() != tc.code+": "+d.Message && len(d.Message) < 1000 {
				t.Errorf("gRPC: %v, want %s with REST's %s: %s", err, tc.grpc, tc.code, d.Message)
			}
			if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetDomain() != "azureml" || info.GetReason() != tc.code {
				t.Errorf("gRPC details: %v", st.Details())
			}
		})
	}
}

// TestFaultsOfTheEmulator sees each fault of the embedded emulator as callers do.
func TestFaultsOfTheEmulator(t *testing.T) {
	const body = `{"Inputs":{"input1":[{"Col2":"a"}]}}`
	request := fmt.Sprintf("POST /workspaces/demo/services/feature-hashing/execute HTTP/1.1\r\nHost: a\r\nAuthorization: bearer demo-key\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	cfg := testConfig()
	cfg.Faults.ThrottleAfter = 1
	c := connect(t, start(t, cfg))
	if resp, answer := c.exchange(t, []byte(request)); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, answer)
	}
	resp, answer := c.exchange(t, []byte(request))
	if d := envelope(t, resp, answer); resp.StatusCode != 503 || d.Code != "RequestThrottled" {
		t.Errorf("throttled: %s %+v", resp.Status, d)
	}

	cfg = testConfig()
	cfg.Faults.ErrorRate = 1
	resp, answer = connect(t, start(t, cfg)).exchange(t, []byte(request))
	if d := envelope(t, resp, answer); resp.StatusCode != 500 || d.Target == "amlgate" {
		t.Errorf("error: %s %+v", resp.Status, d)
	}

	cfg = testConfig()
	cfg.Faults.CutAnswer = true
	resp, answer = connect(t, start(t, cfg)).exchange(t, []byte(request))
	if d := envelope(t, resp, answer); resp.StatusCode != 502 || d.Code != "UpstreamBrokeOff" {
		t.Errorf("cut: %s %+v", resp.Status, d)
	}

	cfg = testConfig()
	cfg.Faults.Hang, cfg.UpstreamTimeout = true, 50_000_000 // 50 ms
	resp, answer = connect(t, start(t, cfg)).exchange(t, []byte(request))
	if d := envelope(t, resp, answer); resp.StatusCode != 504 || d.Code != "BackendScoreTimeout" {
		t.Errorf("hang: %s %+v", resp.Status, d)
	}
}

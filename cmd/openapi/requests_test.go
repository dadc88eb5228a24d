package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/openapitest"
)

const (
	service    = "/workspaces/77649e76d4aa462ba1bd2d7ba3d3ea58/services/0c2f5bf0a7b045a0b9d5b6f6b3a0f3ab"
	execute    = service + "/execute?api-version=2.0&details=true"
	submit     = service + "/jobs?api-version=2.0"
	job        = service + "/jobs/539d0bc2fde945b6ac986b851d0000f0"
	noBody     = ""
	columnBody = `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}`
)

// request is a row of the tables below.
type request struct {
	name, method, target, body string
	valid                      bool
}

// send judges each request.
func send(t *testing.T, requests []request) {
	s := openapitest.New(t)
	for _, row := range requests {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(row.method, row.target, strings.NewReader(row.body))
			r.Header.Set("Authorization", "Bearer key")
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			verdict(t, s.Request(r), row.valid)
		})
	}
}

// TestScoringRequests sends what AzureML's clients are known to send, and what none may.
func TestScoringRequests(t *testing.T) {
	send(t, []request{
		{"columns, as the seed sends them", "POST", execute, columnBody, true},
		{"several rows", "POST", execute,
			`{"Inputs":{"input1":{"ColumnNames":["cog_speed"],"Values":[["0"],["1"]]}},"GlobalParameters":{}}`, true},
		{"raw numbers, truth values and nulls in columns", "POST", execute,
			`{"Inputs":{"input1":{"ColumnNames":["a","b","c","d"],"Values":[[20,"female",true,null],[2.5,"",false,0]]}}}`, true},
		{"no rows", "POST", execute, `{"Inputs":{"input1":{"ColumnNames":["a"],"Values":[]}}}`, true},
		{"rows as objects", "POST", execute + "&format=swagger",
			`{"Inputs":{"input1":[{"column1":"value1","column2":"value2"}]},"GlobalParameters":{}}`, true},
		{"raw numbers of 16 digits and nulls in objects", "POST", execute + "&format=swagger",
			`{"Inputs":{"input1":[{"x":0.1234567890123456,"y":null,"z":false}]},"GlobalParameters":{}}`, true},
		{"columns though format=swagger", "POST", execute + "&format=swagger", columnBody, true},
		{"several inputs in both forms", "POST", execute,
			`{"Inputs":{"input1":{"ColumnNames":["a"],"Values":[["1"]]},"input2":[{"b":"2"}]},"GlobalParameters":{}}`, true},
		{"no inputs", "POST", execute, `{"Inputs":{},"GlobalParameters":{}}`, true},
		{"Inputs left out", "POST", execute, `{"GlobalParameters":{"Random seed":12345,"Table":"t"}}`, true},
		{"GlobalParameters null", "POST", execute, `{"Inputs":{},"GlobalParameters":null}`, true},
		{"GlobalParameters an empty list", "POST", execute, `{"Inputs":{},"GlobalParameters":[]}`, true},
		{"no api-version and no details", "POST", service + "/execute", columnBody, true},
		{"an id that is no hex", "POST", "/workspaces/My.ws_1-x/services/s/execute", columnBody, true},

		{"no body", "POST", execute, noBody, false},
		{"a list", "POST", execute, `[]`, false},
		{"Inputs a list", "POST", execute, `{"Inputs":[{"a":"1"}]}`, false},
		{"Values a flat list", "POST", execute, `{"Inputs":{"input1":{"ColumnNames":["a"],"Values":["1"]}}}`, false},
		{"Values an object", "POST", execute, `{"Inputs":{"input1":{"ColumnNames":["a"],"Values":{"0":["1"]}}}}`, false},
		{"Values left out", "POST", execute, `{"Inputs":{"input1":{"ColumnNames":["a"]}}}`, false},
		{"ColumnNames left out", "POST", execute, `{"Inputs":{"input1":{"Values":[["1"]]}}}`, false},
		{"a list in a cell", "POST", execute, `{"Inputs":{"input1":{"ColumnNames":["a"],"Values":[[["1"]]]}}}`, false},
		{"an object in a cell", "POST", execute, `{"Inputs":{"input1":[{"a":{"b":"1"}}]}}`, false},
		{"rows as lists without columns", "POST", execute, `{"Inputs":{"input1":[["1"]]}}`, false},
		{"a single row object", "POST", execute, `{"Inputs":{"input1":{"a":"1"}}}`, false},
		{"the bare word NaN", "POST", execute, `{"Inputs":{"input1":[{"a":NaN}]}}`, false},
		{"GlobalParameters a list of something", "POST", execute, `{"GlobalParameters":["a"]}`, false},
		{"GlobalParameters a text", "POST", execute, `{"GlobalParameters":"a"}`, false},
		{"another api-version", "POST", service + "/execute?api-version=1.0", columnBody, false},
		{"another format", "POST", execute + "&format=csv", columnBody, false},
		{"details neither true nor false", "POST", service + "/execute?details=maybe", columnBody, false},
		{"an id that begins with a dot", "POST", "/workspaces/..x/services/s/execute", columnBody, false},
		{"an id of 129 characters", "POST", "/workspaces/" + strings.Repeat("a", 129) + "/services/s/execute",
			columnBody, false},
		{"a hyphen for a service", "POST", "/workspaces/w/services/-/execute", columnBody, false},
	})
}

// TestJobRequests does the same for jobs.
func TestJobRequests(t *testing.T) {
	send(t, []request{
		{"old submit", "POST", submit, `{"Input":{"ConnectionString":"DefaultEndpointsProtocol=https;AccountName=a;` +
			`AccountKey=k","RelativeLocation":"/mycontainer/mydatablob.csv","BaseLocation":null,"SasBlobToken":null},` +
			`"Outputs":null,"GlobalParameters":null}`, true},
		{"old submit as of early 2015", "POST", submit,
			`{"Input":{"ConnectionString":"c","RelativeLocation":"r"},"Output":null,"GlobalParameters":null}`, true},
		{"new submit", "POST", submit, `{"Inputs":{"input1":{"ConnectionString":"c","RelativeLocation":"container/in.csv"` +
			`}},"Outputs":{"output1":{"ConnectionString":"c","RelativeLocation":"/container/out.csv"}},` +
			`"GlobalParameters":{}}`, true},
		{"submit, several inputs and outputs", "POST", submit, `{"Inputs":{"input1":{"RelativeLocation":"a"},"input2":` +
			`{"RelativeLocation":"b"}},"Outputs":{"output1":{"RelativeLocation":"c"},"output2":null}}`, true},
		{"submit by SAS", "POST", submit, `{"Inputs":{"input1":{"ConnectionString":null,"RelativeLocation":"c/in.csv",` +
			`"BaseLocation":"https://a.blob.core.windows.net/","SasBlobToken":"?sv=1&sig=x"}}}`, true},
		{"submit of a C# client, both members but one null", "POST", submit,
			`{"Input":null,"Inputs":{"input1":{"RelativeLocation":"r"}},"Outputs":null,"GlobalParameters":null}`, true},
		{"submit of GlobalParameters alone", "POST", submit, `{"GlobalParameters":{"a":1}}`, true},
		{"submit to a pool", "POST", submit, `{"AzureBatchPoolId":"539d0bc2fde945b6ac986b851d0000f0"}`, true},

		{"submit of both forms at once", "POST", submit, `{"Input":{"RelativeLocation":"r"},"Inputs":{}}`, false},
		{"submit without a body", "POST", submit, noBody, false},
		{"Input a text", "POST", submit, `{"Input":"https://a/b.csv"}`, false},
		{"Inputs a list", "POST", submit, `{"Inputs":[{"RelativeLocation":"r"}]}`, false},
		{"Outputs of texts", "POST", submit, `{"Outputs":{"output1":"c/out.csv"}}`, false},
		{"RelativeLocation a number", "POST", submit, `{"Input":{"RelativeLocation":1}}`, false},

		{"start without a body", "POST", job + "/start?api-version=2.0", noBody, true},
		{"start with an empty object", "POST", job + "/start?api-version=2.0", `{}`, true},
		{"start with a text", "POST", job + "/start?api-version=2.0", `"go"`, false},
		{"status", "GET", job + "?api-version=2.0", noBody, true},
		{"status of a job id that is none", "GET", service + "/jobs/_?api-version=2.0", noBody, false},
		{"delete without api-version", "DELETE", job, noBody, true},
		{"list", "GET", service + "/jobs?states=JOB_STATE_RUNNING&states=JOB_STATE_FAILED", noBody, true},
		{"list of a workspace", "GET", "/workspaces/w/services/-/jobs", noBody, true},
		{"list of a state that is none", "GET", service + "/jobs?states=Running", noBody, false},
		{"watch", "GET", job + "/watch?cursor=c1", noBody, true},
	})
}

// TestKeys asks for a key everywhere but at swagger.json.
func TestKeys(t *testing.T) {
	s := openapitest.New(t)
	for _, test := range []struct {
		name, method, target, body, key string
		valid                           bool
	}{
		{"execute without a key", "POST", execute, columnBody, "", false},
		{"status without a key", "GET", job, noBody, "", false},
		{"watch without a key", "GET", job + "/watch", noBody, "", false},
		{"schema without a key", "GET", service + "/swagger.json", noBody, "", true},
		{"schema with a key", "GET", service + "/swagger.json", noBody, "bearer key", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
			r.Header = http.Header{"Content-Type": {"application/json"}}
			if test.key != "" {
				r.Header.Set("Authorization", test.key)
			}
			verdict(t, s.Request(r), test.valid)
		})
	}
}

// verdict fails t when the document judged otherwise.
func verdict(t *testing.T, err error, valid bool) {
	t.Helper()
	switch {
	case valid && err != nil:
		t.Errorf("refused: %v", err)
	case !valid && err == nil:
		t.Error("accepted")
	}
}

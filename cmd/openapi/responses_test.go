package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/amlgate/amlgate/server/openapitest"
)

// The media types of answers.
const (
	jsonType   = "application/json; charset=utf-8"
	ndjsonType = "application/x-ndjson"
	sseType    = "text/event-stream"
)

// answer is a row of the tables below.
type answer struct {
	name, method, target string
	status               int
	media, body          string
	valid                bool
}

// check judges each answer.
func check(t *testing.T, answers []answer) {
	s := openapitest.New(t)
	for _, a := range answers {
		t.Run(a.name, func(t *testing.T) {
			r := httptest.NewRequest(a.method, a.target, nil)
			header := http.Header{"X-Ms-Request-Id": {"4a9c2d"}}
			if a.media != "" {
				header.Set("Content-Type", a.media)
			}
			if a.status == http.StatusServiceUnavailable {
				header.Set("Retry-After", "30")
			}
			verdict(t, s.Response(r, a.status, header, []byte(a.body)), a.valid)
		})
	}
}

// TestScoringAnswers judges answers of Execute and swagger.json, most of them captured from live services.
func TestScoringAnswers(t *testing.T) {
	swagger := service + "/swagger.json"
	check(t, []answer{
		{"details", "POST", execute, 200, jsonType, `{"Results":{"output1":{"type":"table","value":{` +
			`"ColumnNames":["surface","Scored Labels"],"ColumnTypes":["Int32","Double"],` +
			`"Values":[["100","100749.893789066"],["150","147449.944996009"]]}}}}`, true},
		{"details, Values first", "POST", execute, 200, jsonType, `{"Results":{"output1":{"value":{"Values":[["1"]],` +
			`"ColumnTypes":["String"],"ColumnNames":["a"]},"type":"table"}}}`, true},
		{"details with numbers, as today's endpoints answer", "POST", execute, 200, jsonType, `{"Results":{"output1":{` +
			`"type":"table","value":{"ColumnNames":["a","b","c"],"ColumnTypes":["Double","Boolean","String"],` +
			`"Values":[[0.5,true,null]]}}}}`, true},
		{"without details, several outputs and a null", "POST", execute, 200, jsonType, `{"Results":{"output1":{` +
			`"type":"table","value":{"Values":[["29.4621959870899"],["25.1658357600726"]]}},` +
			`"output2":{"type":"table","value":{"Values":[["data:text/plain,Execution OK\r\n",null]]}}}}`, true},
		{"format=swagger", "POST", execute + "&format=swagger", 200, jsonType,
			`{"Results":{"output1":[{"Scored Labels":"Churner","Scored Probabilities":"0.287719696760178"}]}}`, true},
		{"format=swagger, several outputs, a null and numbers", "POST", execute + "&format=swagger", 200, jsonType,
			`{"Results":{"output1":[{"a":1,"b":null},{"a":2,"b":false}],"output2":[]}}`, true},
		{"no outputs", "POST", execute, 200, jsonType, `{"Results":{}}`, true},

		{"no Results", "POST", execute, 200, jsonType, `{"output1":[{"a":"1"}]}`, false},
		{"Results a list", "POST", execute, 200, jsonType, `{"Results":[]}`, false},
		{"the request's form", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"ColumnNames":["a"],"Values":[["1"]]}}}`, false},
		{"another type", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"type":"DataTable","value":{"Values":[["1"]]}}}}`, false},
		{"details without ColumnTypes", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"type":"table","value":{"ColumnNames":["a"],"Values":[["1"]]}}}}`, false},
		{"Values a flat list", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"type":"table","value":{"Values":["1"]}}}}`, false},
		{"a list in a cell", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"type":"table","value":{"Values":[[["1"]]]}}}}`, false},
		{"rows in an envelope", "POST", execute, 200, jsonType,
			`{"Results":{"output1":{"type":"table","value":[{"a":"1"}]}}}`, false},
		{"base64, as the generator would have it", "POST", execute, 200, jsonType, `"eyJSZXN1bHRzIjp7fX0="`, false},
		{"not JSON", "POST", execute, 200, jsonType, `<html>`, false},
		{"HTML", "POST", execute, 200, "text/html", `<html>`, false},

		{"Swagger", "GET", swagger, 200, jsonType, `{"swagger":"2.0","info":{"title":"t","version":"2.0"},"paths":{"/":{},` +
			`"/execute?api-version=2.0&format=swagger":{"post":{}}},"definitions":{"input1Item":{"type":"object"}}}`, true},
		{"Swagger of another version", "GET", swagger, 200, jsonType, `{"swagger":"1.2","paths":{},"definitions":{}}`, false},
		{"OpenAPI 3", "GET", swagger, 200, jsonType, `{"openapi":"3.0.1","paths":{},"components":{}}`, false},
		{"Swagger without paths", "GET", swagger, 200, jsonType, `{"swagger":"2.0","definitions":{}}`, false},
		{"Swagger as a text", "GET", swagger, 200, jsonType, `"e30="`, false},
	})
}

// TestJobAnswers judges answers of the job service.
func TestJobAnswers(t *testing.T) {
	const times = `"CreatedAt":"2016-10-14T14:52:33.979Z","StartTime":"2016-10-14T14:52:52.168Z",` +
		`"EndTime":"0001-01-01T00:00:00+00:00"}`
	const protoJob = `{"jobId":"539d0bc2fde945b6ac986b851d0000f0","state":"JOB_STATE_RUNNING",` +
		`"createTime":"2016-10-14T14:52:33.979Z"}`
	start, watch := job+"/start", job+"/watch"
	check(t, []answer{
		{"job id", "POST", submit, 200, jsonType, `"539d0bc2fde945b6ac986b851d0000f0"`, true},
		{"job id in an object", "POST", submit, 200, jsonType, `{"jobId":"539d0bc2fde945b6ac986b851d0000f0"}`, false},
		{"job id with a slash", "POST", submit, 200, jsonType, `"539d0bc2/fde945b6ac986b851d0000f0"`, false},
		{"job id without quotes", "POST", submit, 200, jsonType, `539d0bc2fde945b6ac986b851d0000f0`, false},
		{"no job id", "POST", submit, 200, jsonType, noBody, false},
		{"job id twice", "POST", submit, 200, jsonType,
			`"539d0bc2fde945b6ac986b851d0000f0""539d0bc2fde945b6ac986b851d0000f0"`, false},

		{"started", "POST", start, 200, "", noBody, true},
		{"started, the media type of no body", "POST", start, 200, jsonType, noBody, true},
		{"started, with a body", "POST", start, 200, jsonType, `{}`, false},
		{"deleted", "DELETE", job, 204, "", noBody, true},
		{"deleted, with a body", "DELETE", job, 204, jsonType, `{}`, false},
		{"deleted with 200", "DELETE", job, 200, jsonType, `{}`, false},

		{"running", "GET", job, 200, jsonType, `{"StatusCode":"Running","Results":null,"Details":null,` + times, true},
		{"finished", "GET", job, 200, jsonType, `{"StatusCode":"Finished","Results":{"output1":{"ConnectionString":null,` +
			`"RelativeLocation":"outputs/x.csv","BaseLocation":"https://acct.blob.core.windows.net/",` +
			`"SasBlobToken":"?sv=1&sig=x"},"output2":{"RelativeLocation":"o/y.csv","BaseLocation":"https://b/",` +
			`"SasBlobToken":""}},"Details":null,` + times, true},
		{"failed", "GET", job, 200, jsonType,
			`{"StatusCode":"Failed","Results":null,"Details":"Module: Reader; SNR Job Id: x",` + times, true},
		{"cancelled", "GET", job, 200, jsonType, `{"StatusCode":"Cancelled","Results":null,"Details":null,` + times, true},
		{"not started", "GET", job, 200, jsonType, `{"StatusCode":"NotStarted","Results":null,"Details":null,` + times, true},
		{"status as a number", "GET", job, 200, jsonType, `{"StatusCode":1,"Results":null,"Details":null,` + times, false},
		{"cancelled with one l", "GET", job, 200, jsonType,
			`{"StatusCode":"Canceled","Results":null,"Details":null,` + times, false},
		{"no Results", "GET", job, 200, jsonType, `{"StatusCode":"Running","Details":null,` + times, false},
		{"failed without a reason", "GET", job, 200, jsonType,
			`{"StatusCode":"Failed","Results":null,"Details":null,` + times, false},
		{"a result without a token", "GET", job, 200, jsonType, `{"StatusCode":"Finished","Results":{"o":{` +
			`"RelativeLocation":"r","BaseLocation":"b","SasBlobToken":null}},"Details":null,` + times, false},
		{"a result with a connection string", "GET", job, 200, jsonType, `{"StatusCode":"Finished","Results":{"o":{` +
			`"ConnectionString":"AccountKey=k","RelativeLocation":"r","BaseLocation":"b","SasBlobToken":""}},` +
			`"Details":null,` + times, false},
		{"no time", "GET", job, 200, jsonType,
			`{"StatusCode":"NotStarted","Results":null,"Details":null,"CreatedAt":"now","StartTime":"","EndTime":""}`, false},
		{"protojson for a status", "GET", job, 200, jsonType, `{"job":` + protoJob + `}`, false},

		{"list", "GET", service + "/jobs", 200, jsonType, `{"jobs":[` + protoJob + `],"nextPageToken":"p"}`, true},
		{"list of a foreign state", "GET", service + "/jobs", 200, jsonType, `{"jobs":[{"state":"Running"}]}`, false},
		{"events by line", "GET", watch, 200, ndjsonType, `{"cursor":"c1","job":` + protoJob + `}` + "\n" +
			`{"cursor":"c1","heartbeat":{}}` + "\n" + `{"cursor":"c2","end":{"reason":"REASON_TERMINAL"}}` + "\n", true},
		{"events by line, two in one", "GET", watch, 200, ndjsonType,
			`{"cursor":"c1","heartbeat":{},"end":{}}` + "\n", false},
		{"events by line, the second wrong", "GET", watch, 200, ndjsonType,
			`{"heartbeat":{}}` + "\n" + `{"job":[]}` + "\n", false},
		{"server-sent events", "GET", watch, 200, sseType, "id: c1\nevent: heartbeat\ndata: {}\n\n", true},
		{"watch of what has ended", "GET", watch, 204, "", noBody, true},
		{"events as one JSON", "GET", watch, 200, jsonType, `{"result":{}}`, false},
	})
}

// TestErrors judges error answers, the same of every operation.
func TestErrors(t *testing.T) {
	const unauthorized = `{"error":{"code":"Unauthorized","message":"Request is unauthorized to access resource.",` +
		`"details":[{"code":"ScoreRequestUnauthorized","message":"Invalid credentials provided."}]}}`
	const throttled = `{"error":{"code":"ServiceUnavailable","message":"Service is temporarily unavailable.","details":` +
		`[{"code":"RequestThrottled","message":"Request was throttled for x endpoint. The maximum concurrency for the ` +
		`endpoint is 4."}]}}`
	check(t, []answer{
		{"execute unauthorized", "POST", execute, 401, jsonType, unauthorized, true},
		{"schema unauthorized", "GET", service + "/swagger.json", 401, jsonType, unauthorized, true},
		{"submit unauthorized", "POST", submit, 401, jsonType, unauthorized, true},
		{"start unauthorized", "POST", job + "/start", 401, jsonType, unauthorized, true},
		{"status unauthorized", "GET", job, 401, jsonType, unauthorized, true},
		{"delete unauthorized", "DELETE", job, 401, jsonType, unauthorized, true},
		{"list unauthorized", "GET", service + "/jobs", 401, jsonType, unauthorized, true},
		{"watch unauthorized", "GET", job + "/watch", 401, jsonType, unauthorized, true},
		{"throttled", "POST", execute, 503, jsonType, throttled, true},
		{"a module's error", "POST", execute, 400, jsonType, `{"error":{"code":"LibraryExecutionError","message":` +
			`"Module execution encountered an internal library error.","details":[{"code":"FailedToEvaluateRScript",` +
			`"target":"Execute R Script Piped (RPackage)",` +
			`"message":"The following error occurred during evaluation of R script: ..."}]}}`, true},

		{"no details", "POST", execute, 400, jsonType,
			`{"error":{"code":"BadArgument","message":"Invalid argument provided."}}`, false},
		{"details empty", "POST", execute, 400, jsonType,
			`{"error":{"code":"BadArgument","message":"Invalid argument provided.","details":[]}}`, false},
		{"details null", "POST", execute, 400, jsonType,
			`{"error":{"code":"BadArgument","message":"m","details":null}}`, false},
		{"a detail without a message", "POST", execute, 400, jsonType,
			`{"error":{"code":"BadArgument","message":"m","details":[{"code":"InvalidInputNames"}]}}`, false},
		{"a number for a code", "POST", execute, 400, jsonType,
			`{"error":{"code":400,"message":"Input Data Error.","details":[{"code":"c","message":"m"}]}}`, false},
		{"the gateway's error", "POST", execute, 404, jsonType, `{"code":5,"message":"Not Found","details":[]}`, false},
		{"a plain text", "POST", execute, 502, "text/plain", `Bad Gateway`, false},
	})
}

package api

import (
	"math"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/structpb"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// answerMessage is okAnswer as a message.
var answerMessage = &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Tables{Tables: &v1.ScoringOutput{Results: map[string]*v1.Table{"output1": {
	RowCount: 2, Columns: []*v1.Column{{Name: "c", Type: "Int32", Missing: []uint32{1}, Values: &v1.Column_Int64S{Int64S: &v1.Int64S{Values: []int64{7, 0}}}}}}}}}}

func number(f float64) *structpb.Value { return structpb.NewNumberValue(f) }

func list(values ...*structpb.Value) *structpb.Value {
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

func object(fields map[string]*structpb.Value) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

// Typed input becomes AzureML's JSON to the byte, and its answer becomes tables.
func TestExecuteTables(t *testing.T) {
	for _, tc := range []struct {
		name  string
		input *v1.ScoringInput
		want  string
	}{
		{"nothing", nil, `{"Inputs":{},"GlobalParameters":{}}`},
		{"every vector", &v1.ScoringInput{Inputs: map[string]*v1.Table{"input1": {RowCount: 2, Columns: []*v1.Column{
			{Name: "d", Type: "String", Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: []float64{0.1, math.NaN()}}}, Missing: []uint32{1}},
			{Name: "i", Values: &v1.Column_Int64S{Int64S: &v1.Int64S{Values: []int64{-1, math.MaxInt64}}}},
			{Name: "s", Values: &v1.Column_Strings{Strings: &v1.Strings{Values: []string{"\"é", ""}}}, Missing: []uint32{0}},
			{Name: "b", Values: &v1.Column_Bools{Bools: &v1.Bools{Values: []bool{true, false}}}},
		}}}}, `{"Inputs":{"input1":{"ColumnNames":["d","i","s","b"],"Values":[[0.1,-1,null,true],[null,"9223372036854775807","",false]]}},"GlobalParameters":{}}`},
		{"inputs by name", &v1.ScoringInput{Inputs: map[string]*v1.Table{"z": {RowCount: 1}, "a": nil, "Z": {}, "é": {}, "": {}}},
			`{"Inputs":{"":{"ColumnNames":[],"Values":[]},"Z":{"ColumnNames":[],"Values":[]},"a":{"ColumnNames":[],"Values":[]},"z":{"ColumnNames":[],"Values":[[]]},"é":{"ColumnNames":[],"Values":[]}},"GlobalParameters":{}}`},
		{"vectors without values", &v1.ScoringInput{Inputs: map[string]*v1.Table{"i": {Columns: []*v1.Column{
			{Name: "d", Values: &v1.Column_Doubles{}}, {Name: "i", Values: &v1.Column_Int64S{Int64S: &v1.Int64S{}}}, {Name: "s", Values: &v1.Column_Strings{}}, {Name: "b", Values: &v1.Column_Bools{Bools: &v1.Bools{}}}}}}},
			`{"Inputs":{"i":{"ColumnNames":["d","i","s","b"],"Values":[]}},"GlobalParameters":{}}`},
		{"parameters", &v1.ScoringInput{GlobalParameters: map[string]*structpb.Value{
			"n": number(1.5), "big": structpb.NewStringValue("9007199254740993"), "b": structpb.NewBoolValue(false), "null": structpb.NewNullValue(), "nil": nil, "empty": {},
			"list": list(number(1), list(), nil, &structpb.Value{}, object(nil), &structpb.Value{Kind: &structpb.Value_ListValue{}}),
			"map":  object(map[string]*structpb.Value{"y": object(map[string]*structpb.Value{"z": list(structpb.NewBoolValue(true))}), "x": nil}),
			"s":    {Kind: &structpb.Value_StructValue{}},
		}}, `{"Inputs":{},"GlobalParameters":{"b":false,"big":"9007199254740993","empty":null,"list":[1,[],null,null,{},[]],"map":{"x":null,"y":{"z":[true]}},"n":1.5,"nil":null,"null":null,"s":{}}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newFake(t, 200, nil, okAnswer)
			ctx, _ := calling(t)
			answer, err := up.Execute(ctx, inTables(tc.input))
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, "the body", up.sent.Load().(string), tc.want)
			wantText(t, "the URL", up.last.Load().URL.String(), "/workspaces/w/services/s/execute?api-version=2.0&details=true")
			wantMessage(t, answerMessage, answer)
		})
	}
}

// Numbers that JSON cannot hold, and integers that doubles cannot, are refused and not sent as something else.
func TestParametersThatCannotBeSent(t *testing.T) {
	for _, tc := range []struct {
		value       *structpb.Value
		field, text string
	}{
		{number(math.NaN()), "", "NaN is no JSON number; only finite numbers can be sent"},
		{list(number(0), object(map[string]*structpb.Value{"k": number(math.Inf(-1))})), `[1]["k"]`, "-Inf is no JSON number; only finite numbers can be sent"},
		{number(1 << 54), "", "an integer beyond 2^53 does not survive as a number; send it as a string"},
	} {
		up := newFake(t, 200, nil, okAnswer)
		ctx, _ := calling(t)
		answer, err := up.Execute(ctx, inTables(&v1.ScoringInput{GlobalParameters: map[string]*structpb.Value{"p": tc.value}}))
		f := wantFailure(t, answer, err)
		wantDetails(t, f, &errdetails.ErrorInfo{Domain: "amlgate", Reason: "INVALID_FIELD"},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: `tables.global_parameters["p"]` + tc.field, Description: tc.text}}})
		if up.asked.Load() != 0 {
			t.Error("the upstream was asked")
		}
	}
}

// Answers become messages column by column: every vector, the types as told, the rows counted.
func TestAnswerTables(t *testing.T) {
	up := newFake(t, 200, nil, `{"Results":{"o":{"value":{"ColumnNames":["d","i","s","b","d"],"ColumnTypes":["Double","Int64","DateTime","Boolean","Int32"],
		"Values":[["NaN","9223372036854775807","5/30/2010 6:07:00 PM","True","x"],[null,null,null,null,null]]}},"empty":{"value":{"Values":[]}},"cells":{"value":{"Values":[[0.5],[null]]}},"bare":{"value":{"Values":[[],[],[]]}}}}`)
	ctx, _ := calling(t)
	answer, err := up.Execute(ctx, inTables(nil))
	if err != nil {
		t.Fatal(err)
	}
	gap := []uint32{1}
	wantMessage(t, &v1.ScoringOutput{Results: map[string]*v1.Table{
		"o": {RowCount: 2, Columns: []*v1.Column{
			{Name: "d", Type: "Double", Missing: gap, Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: []float64{math.NaN(), 0}}}},
			{Name: "i", Type: "Int64", Missing: gap, Values: &v1.Column_Int64S{Int64S: &v1.Int64S{Values: []int64{math.MaxInt64, 0}}}},
			{Name: "s", Type: "DateTime", Missing: gap, Values: &v1.Column_Strings{Strings: &v1.Strings{Values: []string{"5/30/2010 6:07:00 PM", ""}}}},
			{Name: "b", Type: "Boolean", Missing: gap, Values: &v1.Column_Bools{Bools: &v1.Bools{Values: []bool{true, false}}}},
			{Name: "d", Type: "Int32", Missing: gap, Values: &v1.Column_Strings{Strings: &v1.Strings{Values: []string{"x", ""}}}},
		}},
		"empty": {},
		"cells": {RowCount: 2, Columns: []*v1.Column{{Missing: gap, Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: []float64{0.5, 0}}}}}},
		"bare":  {RowCount: 3},
	}}, answer.GetTables())
}

const swagger = `{"swagger":"2.0","definitions":{
	"ExecutionRequest":{"properties":{"Inputs":{"properties":{"input1":{"items":{"$ref":"#/definitions/input1Item"}}}},"GlobalParameters":{"properties":{"Random seed":{"type":"integer","format":"int32"}}}}},
	"input1Item":{"properties":{"z":{"type":"string","enum":["a","b"],"x-ms-isnullable":true},"a":{"type":"number","format":"double"}}},
	"output1Item":{"properties":{"Scored Labels":{"type":"integer"}}}}}`

// Stubs get the service's description read, with the document itself; REST answers the document alone.
func TestGetServiceSchema(t *testing.T) {
	up := newFake(t, 200, map[string]string{"X-Ms-Request-Id": "up-1"}, swagger)
	ctx, call := calling(t)
	req := &v1.GetServiceSchemaRequest{Workspace: "w", Service: "s", ApiVersion: "2.0"}
	answer, err := up.GetServiceSchema(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, &v1.GetServiceSchemaResponse{
		SwaggerJson: []byte(swagger),
		Inputs: map[string]*v1.TableSchema{"input1": {Columns: []*v1.ColumnSchema{
			{Name: "z", Type: "string", EnumValues: []string{"a", "b"}, Nullable: true}, {Name: "a", Type: "number", Format: "double"}}}},
		Outputs:          map[string]*v1.TableSchema{"output1": {Columns: []*v1.ColumnSchema{{Name: "Scored Labels", Type: "integer"}}}},
		GlobalParameters: &v1.TableSchema{Columns: []*v1.ColumnSchema{{Name: "Random seed", Type: "integer", Format: "int32"}}},
	}, answer)
	r := up.last.Load()
	wantText(t, "the request", r.Method+" "+r.URL.String(), "GET /workspaces/w/services/s/swagger.json")
	if call.UpstreamStatus != 200 || call.Answer.Get("X-Ms-Request-Id") != "up-1" {
		t.Errorf("the call notes %+v", call)
	}
	call.Raw = true
	if answer, err = up.GetServiceSchema(ctx, req); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, &v1.GetServiceSchemaResponse{SwaggerJson: []byte(swagger)}, answer)
}

func TestGetServiceSchemaFails(t *testing.T) {
	const notFoundBody = `{"error":{"code":"NotFound","message":"M","details":[{"code":"WebServiceNotFound","message":"m"}]}}`
	good := &v1.GetServiceSchemaRequest{Workspace: "w", Service: "s"}
	for _, tc := range []struct {
		name   string
		req    *v1.GetServiceSchemaRequest
		status int
		body   string
		reason string
		text   string
	}{
		{"a workspace that is none", &v1.GetServiceSchemaRequest{Workspace: "a/b", Service: "s"}, 200, swagger, "INVALID_FIELD", "workspace: " + wantID},
		{"a service that is none", &v1.GetServiceSchemaRequest{Workspace: "w"}, 200, swagger, "INVALID_FIELD", "service: " + wantID},
		{"another version", &v1.GetServiceSchemaRequest{Workspace: "w", Service: "s", ApiVersion: "3"}, 200, swagger, "BAD_API_VERSION", `api-version: Invalid version parameter was passed during the API call: "3". ` + wantTwo},
		{"no description", good, 404, "not here", "SCHEMA_NOT_PUBLISHED", "the upstream publishes no description of this service"},
		{"no service", good, 404, notFoundBody, "WebServiceNotFound", "WebServiceNotFound: m"},
		{"another error", good, 500, "oops", "UPSTREAM_ERROR", "the upstream answered 500 with a body of text/plain that is not AzureML's error"},
		{"HTML", good, 200, "<html>", "UPSTREAM_NOT_AZUREML", "the upstream answered 200 with a body of text/plain that is not AzureML's JSON"},
		{"no JSON", good, 200, "{garbage}", "UPSTREAM_NOT_AZUREML", "the service's description is no JSON object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newFake(t, tc.status, map[string]string{"Content-Type": "text/plain"}, tc.body)
			ctx, _ := calling(t)
			answer, err := up.GetServiceSchema(ctx, tc.req)
			f := wantFailure(t, answer, err)
			wantText(t, "the error", f.Error(), tc.text)
			wantText(t, "the reason", f.GRPCStatus().Details()[0].(*errdetails.ErrorInfo).GetReason(), tc.reason)
			if row, ours := own[Reason(tc.reason)]; ours && (f.GRPCStatus().Code() != row.code || f.HTTP != row.http) {
				t.Errorf("%s, %d", f.Code(), f.HTTP)
			}
		})
	}
	packed := newFake(t, 200, map[string]string{"Content-Encoding": "gzip"}, swagger) // which it is not
	ctx, _ := calling(t)
	refused, err := packed.GetServiceSchema(ctx, good)
	wantDetails(t, wantFailure(t, refused, err), &errdetails.ErrorInfo{Domain: "amlgate", Reason: "UPSTREAM_NOT_AZUREML"})
	// Over REST a document that cannot be read is the caller's to read.
	up := newFake(t, 200, nil, "{garbage}")
	ctx, call := calling(t)
	call.Raw = true
	answer, err := up.GetServiceSchema(ctx, good)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the document", string(answer.GetSwaggerJson()), "{garbage}")
}

// A call lets go of its tables once they are written, so that they do not stay while the upstream works.
func TestTablesAreLetGo(t *testing.T) {
	up := newFake(t, 200, nil, okAnswer)
	req := inTables(&v1.ScoringInput{Inputs: map[string]*v1.Table{"in": {RowCount: 1, Columns: []*v1.Column{{Name: "c", Values: &v1.Column_Bools{Bools: &v1.Bools{Values: []bool{true}}}}}}}})
	ctx, _ := calling(t)
	if _, err := up.Execute(ctx, req); err != nil || req.GetPayload() != nil {
		t.Errorf("%v; payload %v", err, req.GetPayload())
	}
}

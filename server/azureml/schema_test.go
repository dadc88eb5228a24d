package azureml_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

func wantSchema(t *testing.T, document string, want azureml.Schema) {
	t.Helper()
	got, err := azureml.ParseSchema([]byte(document))
	if err != nil {
		t.Fatalf("ParseSchema(%s): %v", document, err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("ParseSchema(%s) differs (-want +got):\n%s", document, d)
	}
}

// The three ways in which documents lead to the columns: the request's and the answer's own structure, what references
// point to, and names alone. Columns stand in the document's order, not the alphabet's.
func TestParseSchema(t *testing.T) {
	for name, want := range map[string]azureml.Schema{
		"structure": {
			Inputs: []azureml.TableSchema{
				{Name: "zeta", Columns: []azureml.ColumnSchema{
					{Name: "z", Type: "string"}, {Name: "a", Type: "number", Format: "double", Nullable: true}, {Name: "m", Type: "integer", Format: "int64"},
					{Name: "class", Type: "string", Enum: []string{"yes", "no", "3", "true", "é\""}, Nullable: true}, {Name: "when", Type: "string", Format: "date-time"}, {Name: "Ab", Type: "string"}, {Name: "nothing"}}},
				{Name: "alpha", Columns: []azureml.ColumnSchema{{Name: "only", Type: "boolean"}}},
			},
			Outputs: []azureml.TableSchema{
				{Name: "output1", Columns: []azureml.ColumnSchema{{Name: "Scored Labels", Type: "integer"}, {Name: "Scored Probabilities", Type: "number"}}},
				{Name: "empty"},
			},
			Parameters: []azureml.ColumnSchema{{Name: "Random seed", Type: "integer", Format: "int32"}, {Name: "Mode", Type: "string", Enum: []string{"fast", "exact"}, Nullable: true}},
		},
		"names": {
			Inputs: []azureml.TableSchema{
				{Name: "input1", Columns: []azureml.ColumnSchema{{Name: "b", Type: "string"}, {Name: "a", Type: "number"}}},
				{Name: "outputs of last year", Columns: []azureml.ColumnSchema{{Name: "x", Type: "string"}}},
			},
			Outputs: []azureml.TableSchema{
				{Name: "output2", Columns: []azureml.ColumnSchema{{Name: "late", Type: "string"}}},
				{Name: "output1", Columns: []azureml.ColumnSchema{{Name: "Scored Labels", Type: "number", Format: "double"}}},
			},
		},
		"online": {
			Inputs:  []azureml.TableSchema{{Name: "WebServiceInput0", Columns: []azureml.ColumnSchema{{Name: "PatientID", Type: "integer", Format: "int64"}, {Name: "BMI"}}}},
			Outputs: []azureml.TableSchema{{Name: "WebServiceOutput0", Columns: []azureml.ColumnSchema{{Name: "Probability", Type: "number"}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := os.ReadFile(filepath.Join("testdata", "swagger", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			wantSchema(t, string(document), want)
			wantSchema(t, "\ufeff"+string(document), want)
		})
	}
}

// What a document does not tell, or tells in another shape, is left out and hides nothing of the rest.
func TestPartialSchemas(t *testing.T) {
	input := azureml.Schema{Inputs: []azureml.TableSchema{{Name: "input1", Columns: []azureml.ColumnSchema{{Name: "c", Type: "string"}}}}}
	table := func(name string) azureml.Schema { return azureml.Schema{Inputs: []azureml.TableSchema{{Name: name}}} }
	for _, tc := range []struct {
		name, document string
		want           azureml.Schema
	}{
		{"nothing", `{}`, azureml.Schema{}},
		{"no definitions", `{"swagger":"2.0","definitions":{}}`, azureml.Schema{}},
		{"definitions that are none", `{"definitions":[{"input1Item":{}}]}`, azureml.Schema{}},
		{"definitions null", `{"definitions":null}`, azureml.Schema{}},
		{"definitions of odd shapes", `{"definitions":{"aItem":5,"input1Item":{"properties":{"c":{"type":"string"}}},"ExecutionRequest":"x","ExecutionResponse":[],"ExecutionResults":null}}`, input},
		{"an example without objects", `{"definitions":{"ExecutionRequest":{"example":{"Inputs":[]},"properties":{"Inputs":{"properties":{"input1":{"items":{"properties":{"c":{"type":"string"}}}}}}}}}}`, input},
		{"an example that is a text", `{"definitions":{"ExecutionRequest":{"example":"x","properties":{"Inputs":{"properties":{"input1":{"items":{"properties":{"c":{"type":"string"}}}}}}}}}}`, input},
		{"odd members before the rest", `{"definitions":{"input1Item":{"$ref":5,"format":{},"enum":"x","x-nullable":"y","x-ms-isnullable":1,"properties":{"c":{"format":5,"enum":{},"example":[],"items":[],"properties":7,"type":"string"}}}}}`, input},
		{"odd properties", `{"definitions":{"input1Item":{"properties":["c"]}}}`, table("input1")},
		{"a column that is none", `{"definitions":{"input1Item":{"properties":{"c":"string"}}}}`, azureml.Schema{Inputs: []azureml.TableSchema{{Name: "input1", Columns: []azureml.ColumnSchema{{Name: "c"}}}}}},
		{"a reference to nothing", `{"definitions":{"input1Item":{"$ref":"#/definitions/none"}}}`, table("input1")},
		{"a reference elsewhere", `{"definitions":{"input1Item":{"$ref":"http://x/y.json","properties":{"c":{"type":"string"}}}}}`, input},
		{"a reference to itself", `{"definitions":{"input1Item":{"$ref":"#/definitions/input1Item","properties":{"c":{"type":"string"}}}}}`, table("input1")},
		{"a circle of references", `{"definitions":{"input1Item":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/c"},"c":{"$ref":"#/definitions/b"}}}`, table("input1")},
		{"a table that holds itself", `{"definitions":{"ExecutionRequest":{"properties":{"Inputs":{"$ref":"#/definitions/t"}}},"t":{"properties":{"t":{"items":{"$ref":"#/definitions/t"}}}}}}`,
			azureml.Schema{Inputs: []azureml.TableSchema{{Name: "t", Columns: []azureml.ColumnSchema{{Name: "t"}}}}}},
		{"a chain of references", `{"definitions":{"input1Item":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/c"},"c":{"$ref":"#/definitions/d"},"d":{"properties":{"c":{"type":"string"}}}}}`, input},
		{"structure for the input, a name for the output", `{"definitions":{"ExecutionRequest":{"properties":{"Inputs":{"properties":{"x":{}}}}},"input1Item":{"properties":{"c":{}}},"output1Item":{"properties":{"d":{"type":"number"}}}}}`,
			azureml.Schema{Inputs: []azureml.TableSchema{{Name: "x"}}, Outputs: []azureml.TableSchema{{Name: "output1", Columns: []azureml.ColumnSchema{{Name: "d", Type: "number"}}}}}},
		{"structure for the output, a name for the input", `{"definitions":{"ExecutionResponse":{"properties":{"Results":{"properties":{"y":{}}}}},"output1Item":{},"input1Item":{"properties":{"c":{"type":"string"}}}}}`,
			azureml.Schema{Inputs: input.Inputs, Outputs: []azureml.TableSchema{{Name: "y"}}}},
		{"two answers, of which the first counts", `{"definitions":{"ExecutionResults":{"properties":{"Results":{"properties":{"second":{}}}}},"ExecutionResponse":{"properties":{"Results":{"properties":{"first":{}}}}}}}`,
			azureml.Schema{Outputs: []azureml.TableSchema{{Name: "first"}}}},
	} {
		t.Run(tc.name, func(t *testing.T) { wantSchema(t, tc.document, tc.want) })
	}
}

func TestParseSchemaErrors(t *testing.T) {
	for _, document := range []string{"", "x", "[]", `[{"definitions":{}}]`, `"text"`, "5", "true", "{", `{"definitions":{`, `{}x`, "<html>", "\ufeff"} {
		_, err := azureml.ParseSchema([]byte(document))
		if err == nil {
			t.Errorf("%q is taken", document)
			continue
		}
		wantText(t, "the error", err.Error(), "the service's description is no JSON object")
	}
}

// FuzzParseSchema looks for documents that hang or crash it, and for objects that it refuses.
func FuzzParseSchema(f *testing.F) {
	files, err := filepath.Glob("testdata/swagger/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no documents to begin with: %v", err)
	}
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Add([]byte(`{"definitions":{"inputItem":{"$ref":"#/definitions/inputItem","properties":{"c":{"$ref":"#/definitions/"}}}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(document, &object) == nil
		if _, err := azureml.ParseSchema(document); isObject && err != nil {
			t.Errorf("an object is refused: %v", err)
		}
	})
}

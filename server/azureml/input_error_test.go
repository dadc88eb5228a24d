package azureml_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// Every fault that typed input can have, with the words its sender reads.
func TestInputErrors(t *testing.T) {
	d := doubles("d", 1, 2, 3)
	for _, tc := range []struct {
		name    string
		columns []azureml.Column
		rows    int
		field   string // behind inputs["input1"]
		reason  string
	}{
		{"no vector", []azureml.Column{d, {Name: "x"}}, 0, `.columns[1].values`,
			`column "x" has no vector; one of doubles, int64s, strings, bools is needed`},
		{"no vector in a table without rows", []azureml.Column{{Name: ""}}, 0, `.columns[0].values`,
			`column "" has no vector; one of doubles, int64s, strings, bools is needed`},
		{"shorter", []azureml.Column{d, bools("b", true)}, 0, `.columns[1].values`,
			`column "b" has 1 cells, column "d" has 3; all columns of a table have the same length`},
		{"longer", []azureml.Column{d, int64s("n", 1, 2, 3, 4)}, 0, `.columns[1].values`,
			`column "n" has 4 cells, column "d" has 3; all columns of a table have the same length`},
		{"empty beside full", []azureml.Column{texts("s"), d}, 0, `.columns[1].values`,
			`column "d" has 3 cells, column "s" has 0; all columns of a table have the same length`},
		{"a name twice", []azureml.Column{d, texts("s", "", "", ""), texts("d", "", "", "")}, 0, `.columns[2].name`,
			`column name "d" is that of columns[0] too; names in a request are unique`},
		{"an empty name twice", []azureml.Column{texts("", "a"), texts("", "a")}, 0, `.columns[1].name`,
			`column name "" is that of columns[0] too; names in a request are unique`},
		{"a missing row behind the last", []azureml.Column{missing(d, 0, 3)}, 0, `.columns[0].missing[1]`,
			`row 3 of column "d" does not exist; the table has 3 rows, counted from 0`},
		{"a missing row of no rows", []azureml.Column{missing(texts("s"), 0)}, 0, `.columns[0].missing[0]`,
			`row 0 of column "s" does not exist; the table has 0 rows, counted from 0`},
		{"the largest missing row", []azureml.Column{missing(d, math.MaxUint32)}, 0, `.columns[0].missing[0]`,
			`row 4294967295 of column "d" does not exist; the table has 3 rows, counted from 0`},
		{"a missing row twice", []azureml.Column{missing(d, 1, 1)}, 0, `.columns[0].missing[1]`,
			`row 1 of column "d" comes after row 1; rows are listed once, in ascending order`},
		{"missing rows out of order", []azureml.Column{d, missing(texts("s", "", "", ""), 0, 2, 1)}, 0, `.columns[1].missing[2]`,
			`row 1 of column "s" comes after row 2; rows are listed once, in ascending order`},
		{"more rows claimed", []azureml.Column{d}, 4, `.row_count`, `4, but the columns have 3 rows; leave it out or make it equal`},
		{"fewer rows claimed", []azureml.Column{d}, 2, `.row_count`, `2, but the columns have 3 rows; leave it out or make it equal`},
		{"rows claimed of none", []azureml.Column{texts("s")}, 1, `.row_count`, `1, but the columns have 0 rows; leave it out or make it equal`},
		{"NaN", []azureml.Column{texts("s", "", ""), doubles("d", 0, math.NaN())}, 0, `.columns[1]`,
			`row 1 of column "d" is NaN; only finite numbers can be sent, list the row in missing instead`},
		{"infinity", []azureml.Column{doubles("d\n", math.Inf(1))}, 0, `.columns[0]`,
			`row 0 of column "d\n" is +Inf; only finite numbers can be sent, list the row in missing instead`},
		{"negative infinity beside a missing row", []azureml.Column{missing(doubles("d", math.NaN(), math.Inf(-1)), 0)}, 2, `.columns[0]`,
			`row 1 of column "d" is -Inf; only finite numbers can be sent, list the row in missing instead`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inputs := []azureml.Table{table("good", 0, d), table("input1", tc.rows, tc.columns...)}
			wantInputError(t, inputs, nil, `inputs["input1"]`+tc.field, tc.reason)
		})
	}
}

func TestInputErrorsNameTheInput(t *testing.T) {
	wantInputError(t, []azureml.Table{table("in\"\n", 0, azureml.Column{Name: "x"})}, nil,
		`inputs["in\"\n"].columns[0].values`, `column "x" has no vector; one of doubles, int64s, strings, bools is needed`)
}

func TestParameterErrors(t *testing.T) {
	const beyond = "an integer beyond 2^53 does not survive as a number; send it as a string"
	for _, tc := range []struct {
		name          string
		value         any
		field, reason string
	}{
		{"NaN", math.NaN(), ``, `NaN is no JSON number; only finite numbers can be sent`},
		{"infinity", math.Inf(1), ``, `+Inf is no JSON number; only finite numbers can be sent`},
		{"negative infinity, nested", []any{0.0, map[string]any{"k\"": math.Inf(-1)}}, `[1]["k\""]`, `-Inf is no JSON number; only finite numbers can be sent`},
		{"2^53+2", 9007199254740994.0, ``, beyond},
		{"-2^53-2, nested", map[string]any{"a": []any{-9007199254740994.0}}, `["a"][0]`, beyond},
		{"the largest double", math.MaxFloat64, ``, beyond},
		{"an int", 7, ``, `a int is no JSON value`},
		{"a json.Number", json.Number("7"), ``, `a json.Number is no JSON value`},
		{"too deep in lists", nested(101, false), strings.Repeat("[0]", 100), `nested more than 100 deep`},
		{"too deep in objects", nested(101, true), strings.Repeat(`["k"]`, 100), `nested more than 100 deep`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantInputError(t, nil, map[string]any{"a": 1.0, "p": tc.value}, `global_parameters["p"]`+tc.field, tc.reason)
		})
	}
	for _, objects := range []bool{false, true} {
		if _, err := azureml.AppendRequest(nil, nil, map[string]any{"p": nested(100, objects)}, noLimit); err != nil {
			t.Errorf("100 deep: %v", err)
		}
	}
}

// nested returns a value of which the innermost list or object stands n deep.
func nested(n int, objects bool) any {
	var v any = []any{}
	if objects {
		v = map[string]any{}
	}
	for range n - 1 {
		if objects {
			v = map[string]any{"k": v}
		} else {
			v = []any{v}
		}
	}
	return v
}

func wantInputError(t *testing.T, inputs []azureml.Table, parameters map[string]any, field, reason string) {
	t.Helper()
	got, err := azureml.AppendRequest([]byte("kept"), inputs, parameters, noLimit)
	var input *azureml.InputError
	if !errors.As(err, &input) {
		t.Fatalf("the error is %v, want an InputError", err)
	}
	wantText(t, "Field", input.Field, field)
	wantText(t, "Reason", input.Reason, reason)
	wantText(t, "Error", err.Error(), field+": "+reason)
	wantText(t, "what comes back", string(got), "kept")
}

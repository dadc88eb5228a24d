package azureml_test

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// requests are bodies to the byte.
var requests = []struct {
	name       string
	inputs     []azureml.Table
	parameters map[string]any
	want       string
}{
	{"nothing", nil, nil, `{"Inputs":{},"GlobalParameters":{}}`},
	{"the published example", []azureml.Table{table("input1", 0, texts("Col2", "This is a good day"))}, nil,
		`{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}`},
	{"every vector", []azureml.Table{table("i", 2, doubles("d", 0.5, -1), int64s("n", 7, -7), texts("s", "", "x"), bools("b", true, false))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["d","n","s","b"],"Values":[[0.5,7,"",true],[-1,-7,"x",false]]}},"GlobalParameters":{}}`},
	{"types are not sent", []azureml.Table{table("i", 0, typed("Int32", texts("s", "x")))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["s"],"Values":[["x"]]}},"GlobalParameters":{}}`},
	{"integers are bare up to 2^53", []azureml.Table{table("i", 0, int64s("n", 0, 1<<53, -1<<53))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["n"],"Values":[[0],[9007199254740992],[-9007199254740992]]}},"GlobalParameters":{}}`},
	{"integers are quoted beyond 2^53", []azureml.Table{table("i", 0, int64s("n", 1<<53+1, -1<<53-1, math.MaxInt64, math.MinInt64))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["n"],"Values":[["9007199254740993"],["-9007199254740993"],["9223372036854775807"],["-9223372036854775808"]]}},"GlobalParameters":{}}`},
	{"missing cells in every vector", []azureml.Table{table("i", 0,
		missing(doubles("d", math.NaN(), 2, math.Inf(1)), 0, 2), missing(int64s("n", 1, 2, 3), 1),
		missing(texts("s", "a", "b", "c"), 0, 1, 2), missing(bools("b", true, true, true), 2))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["d","n","s","b"],"Values":[[null,1,null,true],[2,null,null,true],[null,3,null,null]]}},"GlobalParameters":{}}`},
	{"no rows", []azureml.Table{table("i", 0, doubles("d"), texts("s"))}, nil,
		`{"Inputs":{"i":{"ColumnNames":["d","s"],"Values":[]}},"GlobalParameters":{}}`},
	{"rows without columns", []azureml.Table{table("i", 3)}, nil,
		`{"Inputs":{"i":{"ColumnNames":[],"Values":[[],[],[]]}},"GlobalParameters":{}}`},
	{"neither rows nor columns", []azureml.Table{table("i", 0)}, nil,
		`{"Inputs":{"i":{"ColumnNames":[],"Values":[]}},"GlobalParameters":{}}`},
	{"inputs in the order given", []azureml.Table{table("z", 0, bools("b", true)), table("a", 0), table("m", 1)}, nil,
		`{"Inputs":{"z":{"ColumnNames":["b"],"Values":[[true]]},"a":{"ColumnNames":[],"Values":[]},"m":{"ColumnNames":[],"Values":[[]]}},"GlobalParameters":{}}`},
	{"names are escaped", []azureml.Table{table("in\"put", 0, texts("co\\l\n", "x"))}, map[string]any{"p\x00": true},
		`{"Inputs":{"in\"put":{"ColumnNames":["co\\l\n"],"Values":[["x"]]}},"GlobalParameters":{"p\u0000":true}}`},
	{"an empty name", []azureml.Table{table("", 0, texts("", "x"))}, map[string]any{"": nil},
		`{"Inputs":{"":{"ColumnNames":[""],"Values":[["x"]]}},"GlobalParameters":{"":null}}`},
	{"parameters sorted, nested, null", nil, map[string]any{
		"zeta": nil, "Random seed": 12345.0, "a": map[string]any{"y": []any{}, "x": map[string]any{}, "w": []any(nil), "v": map[string]any(nil)},
		"list": []any{nil, true, false, "t\"", -0.5, []any{1.0, []any{2.0}}, map[string]any{"k": "v", "b": 0.0}},
	}, `{"Inputs":{},"GlobalParameters":{"Random seed":12345,"a":{"v":{},"w":[],"x":{},"y":[]},"list":[null,true,false,"t\"",-0.5,[1,[2]],{"b":0,"k":"v"}],"zeta":null}}`},
	{"parameters up to 2^53, and fractions beyond", nil, map[string]any{"a": 9007199254740992.0, "b": -9007199254740992.0, "c": 4503599627370495.5},
		`{"Inputs":{},"GlobalParameters":{"a":9007199254740992,"b":-9007199254740992,"c":4503599627370495.5}}`},
}

func TestAppendRequest(t *testing.T) {
	for _, tc := range requests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := azureml.AppendRequest([]byte("kept "), tc.inputs, tc.parameters, noLimit)
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, "the body", string(got), "kept "+tc.want)
			if !json.Valid(got[len("kept "):]) {
				t.Error("the body is no JSON")
			}
		})
	}
}

// The limit counts the body's own bytes: one that has exactly as many passes, one byte more does not.
func TestAppendRequestLimit(t *testing.T) {
	for _, tc := range requests {
		t.Run(tc.name, func(t *testing.T) {
			size := len(tc.want)
			got, err := azureml.AppendRequest([]byte("kept "), tc.inputs, tc.parameters, size)
			if err != nil || len(got) != len("kept ")+size {
				t.Errorf("with a limit of its own %d bytes: %d bytes, %v", size, len(got), err)
			}
			got, err = azureml.AppendRequest([]byte("kept "), tc.inputs, tc.parameters, size-1)
			var large *azureml.SizeError
			if !errors.As(err, &large) || large.Limit != size-1 {
				t.Fatalf("with one byte too few the error is %v", err)
			}
			wantText(t, "the error", err.Error(), "the request's JSON is larger than "+strconv.Itoa(size-1)+" bytes")
			wantText(t, "what comes back", string(got), "kept ")
		})
	}
}

// A table without columns costs its sender nothing, however many rows it claims to have: writing must stop at the limit.
func TestAppendRequestStopsAtTheLimit(t *testing.T) {
	dst := make([]byte, 0, 64<<10)
	var large *azureml.SizeError
	if _, err := azureml.AppendRequest(dst, []azureml.Table{table("i", math.MaxInt32)}, nil, 1000); !errors.As(err, &large) {
		t.Errorf("rows: %v", err)
	}
	list := make([]any, 10_000)
	for i := range list {
		list[i] = strings.Repeat("x", 1000)
	}
	if _, err := azureml.AppendRequest(dst, nil, map[string]any{"p": list}, 1000); !errors.As(err, &large) {
		t.Errorf("parameters: %v", err)
	}
	if end := dst[:cap(dst)]; strings.TrimRight(string(end[4000:]), "\x00") != "" {
		t.Error("more than a few kB were written past the limit")
	}
}

// Doubles are the shortest text that reads back to the same bits, in the notation that encoding/json and JavaScript use.
func TestDoubles(t *testing.T) {
	for _, tc := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {1.0 / 3, "0.3333333333333333"},
		{0.30000000000000004, "0.30000000000000004"}, {100749.893789066, "100749.893789066"}, {0.059025701135397, "0.059025701135397"},
		{1e20, "100000000000000000000"}, {999999999999999900000, "999999999999999900000"}, {1e21, "1e+21"}, {-1e21, "-1e+21"}, {1.5e300, "1.5e+300"},
		{1e-6, "0.000001"}, {-0.00000123, "-0.00000123"}, {math.Nextafter(1e-6, 0), "9.999999999999997e-7"}, {1e-7, "1e-7"}, {-1.25e-9, "-1.25e-9"}, {1e-10, "1e-10"}, {1e-100, "1e-100"},
		{math.MaxFloat64, "1.7976931348623157e+308"}, {math.SmallestNonzeroFloat64, "5e-324"}, {2.2250738585072014e-308, "2.2250738585072014e-308"}, {2.225073858507201e-308, "2.225073858507201e-308"},
		{9007199254740993, "9007199254740992"}, {1 << 60, "1152921504606847000"},
	} {
		got := cell(t, doubles("d", tc.f))
		wantText(t, "the cell", got, tc.want)
		if back, err := strconv.ParseFloat(got, 64); err != nil || !sameBits(back, tc.f) {
			t.Errorf("%s reads back as %v, %v", got, back, err)
		}
		if theirs, _ := json.Marshal(tc.f); string(theirs) != got {
			t.Errorf("%s is written, where encoding/json writes %s", got, theirs)
		}
	}
}

// Texts keep every character. What is not UTF-8 becomes U+FFFD a byte, since Protobuf and JSON take nothing else.
func TestTexts(t *testing.T) {
	for in, want := range map[string]string{
		"":                              `""`,
		"a \"b\" \\c\\ /d":              `"a \"b\" \\c\\ /d"`,
		"\n\r\t":                        `"\n\r\t"`,
		"\x00\x01\x07\x08\x0b\x0c\x1f ": `"\u0000\u0001\u0007\u0008\u000b\u000c\u001f "`,
		"\x7f":                          "\"\x7f\"",
		"<a href='x'>&":                 `"<a href='x'>&"`,
		"é ∞ 日本 😀":                      `"é ∞ 日本 😀"`,
		"\u2028\u2029\ufeff\ufffd":      "\"\u2028\u2029\ufeff\ufffd\"",
		"\xff":                          "\"\ufffd\"",
		"a\xc3\"b":                      "\"a\ufffd\\\"b\"",
		"\xe2\x82":                      "\"\ufffd\ufffd\"",
		"\xed\xa0\x80x":                 "\"\ufffd\ufffd\ufffdx\"", // a surrogate
		"\xc0\x80\xf5":                  "\"\ufffd\ufffd\ufffd\"",  // an overlong NUL, a byte beyond Unicode
		"é\xff日":                        "\"é\ufffd日\"",
	} {
		got := cell(t, texts("s", in))
		wantText(t, "the cell", got, want)
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != string([]rune(in)) {
			t.Errorf("%q reads back as %q, %v", in, back, err)
		}
		for n := range 17 { // texts are looked at by eight bytes
			around := strings.Repeat("x", n)
			wantText(t, "the cell among others", cell(t, texts("s", around+in+around)), want[:1]+around+want[1:len(want)-1]+around+want[len(want)-1:])
		}
	}
}

// cell returns what a table's only cell is written as.
func cell(t *testing.T, c azureml.Column) string {
	t.Helper()
	body, err := azureml.AppendRequest(nil, []azureml.Table{table("i", 0, c)}, nil, noLimit)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(body), `"Values":[[`)
	text, end, _ := strings.Cut(rest, `]]}},"GlobalParameters":{}}`)
	if !found || end != "" {
		t.Fatalf("no cell in %s", body)
	}
	return text
}

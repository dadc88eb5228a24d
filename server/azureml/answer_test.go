package azureml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// Members stand in any order, unknown ones are passed over, one that comes twice counts as its last.
func TestAnswerShapes(t *testing.T) {
	plain := table("o", 1, typed("Int32", int64s("c", 7)))
	for _, tc := range []struct {
		name, body string
		want       []azureml.Table
	}{
		{"blanks everywhere", "\t{ \"Results\" :\r\n{ \"o\" : { \"type\" : \"table\" , \"value\" : { \"ColumnNames\" : [ \"c\" ] , \"ColumnTypes\" : [ \"Int32\" ] , \"Values\" : [ [ \"7\" ] ] } } } } \n", []azureml.Table{plain}},
		{"no blanks, Values first", `{"Results":{"o":{"value":{"Values":[["7"]],"ColumnTypes":["Int32"],"ColumnNames":["c"]},"type":"table"}}}`, []azureml.Table{plain}},
		{"types between", `{"Results":{"o":{"value":{"ColumnTypes":["Int32"],"Values":[["7"]],"ColumnNames":["c"]}}}}`, []azureml.Table{plain}},
		{"unknown members", `{"a":[{}],"Results":{"o":{"b":null,"value":{"x":{"Values":[]},"ColumnNames":["c"],"ColumnTypes":["Int32"],"Values":[["7"]],"y":-1e5},"c":true}},"Container":{"d":"e"}}`, []azureml.Table{plain}},
		{"any type", `{"Results":{"o":{"type":"DataTable","value":{"ColumnNames":["c"],"ColumnTypes":["Int32"],"Values":[[7]]}}}}`, []azureml.Table{plain}},
		{"escaped names", `{"R\u0065sults":{"\u006f":{"v\u0061lue":{"ColumnN\u0061mes":["\u0063"],"ColumnTypes":["Int\u00332"],"\u0056alues":[[7]]}}}}`, []azureml.Table{plain}},
		{"byte order mark", "\ufeff" + string(one("Int32", `[["7"]]`)), []azureml.Table{plain}},
		{"no outputs", `{"Results":{}}`, nil},
		{"several outputs in their order", `{"Results":{"z":{"value":{"Values":[]}},"a":{"value":{"ColumnNames":["x"],"ColumnTypes":["String"],"Values":[]}},"m":{"value":{"Values":[[],[]]}}}}`,
			[]azureml.Table{table("z", 0), table("a", 0, typed("String", texts("x"))), table("m", 2)}},
		{"columns of one name", `{"Results":{"o":{"value":{"ColumnNames":["c","c"],"Values":[[1,2]]}}}}`, []azureml.Table{table("o", 1, doubles("c", 1), doubles("c", 2))}},
		{"names alone", `{"Results":{"o":{"value":{"ColumnNames":["a","b"],"Values":[]}}}}`, []azureml.Table{table("o", 0, texts("a"), texts("b"))}},
		{"types alone", `{"Results":{"o":{"value":{"ColumnTypes":["Int32","Double"],"Values":[["1","2"]]}}}}`, []azureml.Table{table("o", 1, typed("Int32", int64s("", 1)), typed("Double", doubles("", 2)))}},
		{"types alone, no rows", `{"Results":{"o":{"value":{"ColumnTypes":["Int32"],"Values":[]}}}}`, []azureml.Table{table("o", 0, typed("Int32", int64s("")))}},
		{"null stands for absent", `{"Results":{"o":{"value":{"ColumnNames":null,"ColumnTypes":null,"Values":[["x",null]]}}}}`, []azureml.Table{table("o", 1, texts("", "x"), missing(texts("", ""), 0))}},
		{"no cells", `{"Results":{"o":{"value":{"ColumnNames":[],"ColumnTypes":[],"Values":[[],[ ],[]]}}}}`, []azureml.Table{table("o", 3)}},
		{"case counts", `{"results":5,"Results":{"o":{"Value":[],"value":{"columnNames":5,"ColumnNames":["c"],"ColumnTypes":["Int32"],"values":5,"Values":[[7]]}}}}`, []azureml.Table{plain}},

		{"Results twice", `{"Results":{"x":5},"Results":` + results + `}`, []azureml.Table{plain}},
		{"an output twice, in its first place", `{"Results":{"o":{"value":{"Values":[["x","y"]]}},"p":{"value":{"Values":[]}},` + results[1:] + `}`, []azureml.Table{plain, table("p", 0)}},
		{"an output twice, at first no table", `{"Results":{"o":[{"c":7}],` + results[1:] + `}`, []azureml.Table{plain}},
		{"value twice", `{"Results":{"o":{"value":[],"value":{"Values":[[1],[2]]},"value":{"ColumnNames":["c"],"ColumnTypes":["Int32"],"Values":[[7]]}}}}`, []azureml.Table{plain}},
		{"value twice, at last without rows", `{"Results":{"o":{"value":{"Values":[[1],[2]]},"value":{"Values":[]}}}}`, []azureml.Table{table("o", 0)}},
		{"members of value twice", `{"Results":{"o":{"value":{"ColumnNames":[1],"ColumnNames":["a","b"],"Values":5,"Values":[[1,2]],"ColumnTypes":["x"],"ColumnTypes":null,"ColumnNames":["c"],"Values":[[7]],"ColumnTypes":["Int32"]}}}}`, []azureml.Table{plain}},
		{"null takes names and types back", `{"Results":{"o":{"value":{"ColumnNames":["a"],"ColumnTypes":["a"],"Values":[[7,8]],"ColumnNames":null,"ColumnTypes":null}}}}`, []azureml.Table{table("o", 1, doubles("", 7), doubles("", 8))}},
	} {
		t.Run(tc.name, func(t *testing.T) { wantTables(t, []byte(tc.body), tc.want...) })
	}
}

// results is Results with one small table.
const results = `{"o":{"value":{"ColumnNames":["c"],"ColumnTypes":["Int32"],"Values":[[7]]}}}`

// Escapes and characters in texts read as encoding/json reads them.
func TestAnswerTexts(t *testing.T) {
	for quoted, want := range map[string]string{
		`"\"\\\/\b\f\n\r\t"`:               "\"\\/\b\f\n\r\t",
		`"\u0000\u001F\u00e9\u00E9\u65e5"`: "\x00\x1féé日",
		`"\ud83d\ude00\uD83D\uDE00"`:       "😀😀",
		`"\ud83d"`:                         "\ufffd",
		`"\ude00\ud83d"`:                   "\ufffd\ufffd",
		`"\ud83dx\ude00"`:                  "\ufffdx\ufffd",
		`"\ud83d\n"`:                       "\ufffd\n",
		`"\ud83d\u0041"`:                   "\ufffdA",
		`"\ud83d\ud83d\ude00"`:             "\ufffd😀",
		"\"é 日本 😀 \u2028\x7f\"":            "é 日本 😀 \u2028\x7f",
		"\"a\xffb\"":                       "a\ufffdb",
		"\"\xe2\x82\\n\xed\xa0\x80\"":      "\ufffd\ufffd\n\ufffd\ufffd\ufffd",
	} {
		for n := range 17 { // texts are looked at by eight bytes
			around := strings.Repeat("x", n)
			inside := quoted[1 : len(quoted)-1]
			wantTables(t, one("String", `[["`+around+inside+around+`"]]`), table("o", 1, typed("String", texts("c", around+want+around))))
		}
	}
	// What is nested comes as it stands, except that a text must be UTF-8.
	wantTables(t, one("String", "[[ {\"a\\u0041\" : [1.50,\t\"\xff\"]} ]]"), table("o", 1, typed("String", texts("c", "{\"a\\u0041\" : [1.50,\t\"\ufffd\"]}"))))
}

// JSON that holds no table is refused with the reason, and with the output that has it.
func TestNotTableErrors(t *testing.T) {
	value := func(s string) string {
		return `{"Results":{"good":{"value":{"Values":[]}},"out \"1":{"type":"table","value":` + s + `}}}`
	}
	for _, tc := range []struct{ name, body, output, reason string }{
		{"an empty object", `{}`, "", `it has no "Results"`},
		{"an error", string(answerFile(t, "error")), "", `it has no "Results"`},
		{"Results null", `{"Results":null}`, "", `it has no "Results"`},
		{"Results a list", `{"Results":[{"a":1}]}`, "", `it has no "Results"`},
		{"Results twice, then none", `{"Results":` + results + `,"Results":null}`, "", `it has no "Results"`},
		{"a list", `[1,2]`, "", `it has no "Results"`},
		{"a text", `"Results"`, "", `it has no "Results"`},
		{"null", ` null `, "", `it has no "Results"`},
		{"a number", `0`, "", `it has no "Results"`},
		{"classic's rows", string(answerFile(t, "swagger")), "output1", "it is a list of rows or a single value"},
		{"today's rows", string(answerFile(t, "online")), "WebServiceOutput0", "it is a list of rows or a single value"},
		{"a single value", `{"Results":{"good":{"value":{"Values":[]}},"o":0.75}}`, "o", "it is a list of rows or a single value"},
		{"the first of several", `{"Results":{"a":{"value":{}},"b":null}}`, "a", `it has no "Values"`},
		{"an output twice, then no table", `{"Results":{"o":{"value":{"Values":[]}},"o":[]}}`, "o", "it is a list of rows or a single value"},
		{"no value", `{"Results":{"o":{"type":"table","Value":{"Values":[]}}}}`, "o", `it has no "value"`},
		{"rows for a value", value(`[{"a":1}]`), `out "1`, `its "value" is no object`},
		{"value null", value(`null`), `out "1`, `its "value" is no object`},
		{"value twice, then none", `{"Results":{"o":{"value":{"Values":[]},"value":1}}}`, "o", `its "value" is no object`},
		{"no Values", value(`{"ColumnNames":["c"]}`), `out "1`, `it has no "Values"`},
		{"Values null", value(`{"Values":null}`), `out "1`, `it has no "Values"`},
		{"Values twice, then none", value(`{"Values":[[1]],"Values":{}}`), `out "1`, `it has no "Values"`},
		{"a name that is none", value(`{"ColumnNames":["a",1],"Values":[["x","y"]]}`), `out "1`, "a column's name or type is no text"},
		{"a type that is none", value(`{"ColumnTypes":[null],"Values":[["x"]]}`), `out "1`, "a column's name or type is no text"},
		{"too few types", value(`{"ColumnNames":["a","b"],"ColumnTypes":["Int32"],"Values":[]}`), `out "1`, "it has 1 ColumnTypes for 2 columns"},
		{"too many types", value(`{"ColumnNames":["a"],"ColumnTypes":["Int32","Int32"],"Values":[[1]]}`), `out "1`, "it has 2 ColumnTypes for 1 columns"},
		{"no types for a column", value(`{"ColumnNames":["a"],"ColumnTypes":[],"Values":[[1]]}`), `out "1`, "it has 0 ColumnTypes for 1 columns"},
		{"a row that is none", value(`{"ColumnNames":["a"],"Values":[[1],{"a":1}]}`), `out "1`, "row 1 is no list of cells"},
		{"a first row that is none", value(`{"Values":[{"a":1}]}`), `out "1`, "row 0 is no list of cells"},
		{"a cell for a row", value(`{"ColumnNames":["a"],"Values":["x"]}`), `out "1`, "row 0 is no list of cells"},
		{"a null row", value(`{"ColumnNames":["a"],"Values":[[1],[2],null]}`), `out "1`, "row 2 is no list of cells"},
		{"a short row", value(`{"ColumnNames":["a","b"],"Values":[[1,2],[1]]}`), `out "1`, "row 1 has 1 cells for 2 columns"},
		{"a long row", value(`{"ColumnNames":["a","b"],"Values":[[1,2],[1,2],[1,2,[3]]]}`), `out "1`, "row 2 has 3 cells for 2 columns"},
		{"an empty row", value(`{"Values":[["x"],[]]}`), `out "1`, "row 1 has 0 cells for 1 columns"},
		{"rows for no names", value(`{"ColumnNames":[],"Values":[["x"]]}`), `out "1`, "row 0 has 1 cells for 0 columns"},
		{"a long row behind a cell that does not fit", value(`{"ColumnNames":["a"],"ColumnTypes":["Int32"],"Values":[["x"],["1"],["2","3"]]}`), `out "1`, "row 2 has 2 cells for 1 columns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tables, err := azureml.ParseAnswer([]byte(tc.body))
			var not *azureml.NotTableError
			if !errors.As(err, &not) || tables != nil {
				t.Fatalf("ParseAnswer = %v, %v; want a NotTableError", tables, err)
			}
			wantText(t, "Output", not.Output, tc.output)
			wantText(t, "Reason", not.Reason, tc.reason)
		})
	}
	wantText(t, "an answer's error", (&azureml.NotTableError{Reason: "r"}).Error(), "the answer is no table: r")
	wantText(t, "an output's error", (&azureml.NotTableError{Output: "o\"", Reason: "r"}).Error(), `output "o\"" is no table: r`)
}

// What is no JSON is refused with the byte where it stops to be, wherever that stands; also behind an output that is no
// table.
func TestSyntaxErrors(t *testing.T) {
	head := `{"Results":{"o":{"value":{"Values":` // 35 bytes
	for _, tc := range []struct {
		body   string
		offset int
		want   string
	}{
		{"", 0, "a value"}, {"  ", 2, "a value"}, {"\ufeff", 3, "a value"}, {"\ufeff{x", 4, "a member's name"}, {"{}\ufeff", 2, "the end"},
		{"{", 1, "a member's name"}, {"{,", 1, "a member's name"}, {`{"a"`, 4, "':'"}, {`{"a":`, 5, "a value"}, {`{"a":1`, 6, "',' or '}'"}, {`{"a":1,}`, 7, "a member's name"},
		{`{"a":1]`, 6, "',' or '}'"}, {`{"a":[1}`, 7, "',' or ']'"}, {`{"a":[1,]`, 8, "a value"}, {`{"a":{"b":1,,`, 12, "a member's name"}, {`{"a":{1:1}}`, 6, "a member's name"}, {`{"a":{"b"1}}`, 9, "':'"},
		{`{} x`, 3, "the end"}, {`{}{}`, 2, "the end"}, {"{}\x00", 2, "the end"}, {"[1] [2]", 4, "the end"}, {"<html>", 0, "a value"}, {"\x00{}", 0, "a value"}, {"{\x00}", 1, "a member's name"},
		{`{"a":tru}`, 5, "a value"}, {`{"a":nullx}`, 9, "',' or '}'"}, {`{"a":True}`, 5, "a value"}, {`{"a":NaN}`, 5, "a value"}, {`{"a":'x'}`, 5, "a value"}, {"{\"a\":\v1}", 5, "a value"}, {"{\"a\":\u00a01}", 5, "a value"},
		{`{"a":01}`, 6, "',' or '}'"}, {`{"a":-}`, 6, "a value"}, {`{"a":+1}`, 5, "a value"}, {`{"a":.5}`, 5, "a value"}, {`{"a":1.}`, 7, "a digit"}, {`{"a":1e}`, 7, "a digit"}, {`{"a":1e+`, 8, "a digit"}, {`{"a":1.5.5}`, 8, "',' or '}'"}, {`{"a":0x1}`, 6, "',' or '}'"}, {`{"a":-01}`, 7, "',' or '}'"},
		{`{"a":"x`, 7, "the end of a text"}, {`{"a`, 3, "the end of a text"}, {"{\"a\":\"x\ny\"}", 7, "no control character in a text"}, {"{\"a\x1f", 3, "no control character in a text"},
		{`{"a":"\x"}`, 6, "an escape"}, {`{"a":"\u12g4"}`, 6, "an escape"}, {`{"a":"\u12`, 6, "an escape"}, {`{"a":"\`, 6, "an escape"}, {`{"a":"\U0041"}`, 6, "an escape"}, {`{"a":"\u-123"}`, 6, "an escape"}, {`{"a":"x\`, 7, "an escape"},
		{head, 35, "a value"}, {head + `[[1,2`, 40, "',' or ']'"}, {head + `[["x],[1]]}}}}`, 49, "the end of a text"}, {head + `[[1]]}}}`, 43, "',' or '}'"}, {head + `[[1],]}}}}`, 40, "a value"}, {head + `[[1]]}}}},`, 44, "the end"},
		{`{"Results":{"o":{"value":{"ColumnNames":["a",]`, 45, "a value"}, {`{"Results":{"o":{"value":{"ColumnNames":["a" "b"]`, 45, "',' or ']'"}, {`{"Results":{"o":{"value":{"ColumnTypes":["\q"]`, 42, "an escape"},
		{`{"Results":{"o":[{"a":1}]`, 25, "',' or '}'"}, {`{"Results":{"o":[1]}} x`, 22, "the end"}, {`{"Results":{"o":{"value":{"ColumnNames":[1],"Values":[]}}}`, 58, "',' or '}'"}, {`{"Results":{"o":{"value":{"Values":[[1],[]]}}},"x":}`, 51, "a value"},
		{`{"Results":[1,2`, 15, "',' or ']'"}, {`{"Results":{"o":{"value":[1`, 27, "',' or ']'"},
	} {
		tables, err := azureml.ParseAnswer([]byte(tc.body))
		var syntax *azureml.SyntaxError
		if !errors.As(err, &syntax) || tables != nil {
			t.Errorf("ParseAnswer(%q) = %v, %v; want a SyntaxError", tc.body, tables, err)
			continue
		}
		if syntax.Offset != tc.offset || syntax.Want != tc.want {
			t.Errorf("ParseAnswer(%q) stops at byte %d with %q expected, want %d and %q", tc.body, syntax.Offset, syntax.Want, tc.offset, tc.want)
		}
	}
	wantText(t, "the error", (&azureml.SyntaxError{Offset: 7, Want: "','"}).Error(), "no valid JSON at byte 7: ',' expected")
}

// A torn answer never reads as a whole one: no beginning of an answer is an answer, wherever it is cut.
func TestTornAnswers(t *testing.T) {
	for _, name := range []string{"details", "no-details", "values-first", "bare", "fallback", "bom", "swagger"} {
		body := strings.TrimRight(string(answerFile(t, name)), "\n")
		for n := range len(body) {
			var syntax *azureml.SyntaxError
			if _, err := azureml.ParseAnswer([]byte(body[:n])); !errors.As(err, &syntax) || syntax.Offset > n {
				t.Errorf("%s, cut after %d of %d bytes: %v", name, n, len(body), err)
			}
		}
	}
}

// Nesting is bounded as encoding/json bounds it, and far beyond the bound no stack overflows.
func TestNesting(t *testing.T) {
	for depth, accepted := range map[int]bool{1: true, 9_999: true, 10_000: true, 10_001: false, 1_000_000: false} {
		for brackets, inside := range map[string]string{"[]": "", "{}": `"a":`} {
			deep := strings.Repeat(brackets[:1]+inside, depth-1) + brackets + strings.Repeat(brackets[1:], depth-1)
			_, err := azureml.ParseAnswer([]byte(`{"x":` + deep + `,"Results":` + results + `}`))
			var syntax *azureml.SyntaxError
			switch {
			case accepted && err != nil:
				t.Errorf("%s nested %d deep: %v", brackets, depth, err)
			case !accepted && (!errors.As(err, &syntax) || syntax.Want != "no deeper nesting" || syntax.Offset != 5+10_000*len(brackets[:1]+inside)):
				t.Errorf("%s nested %d deep: %v, want it refused at its 10,001st bracket", brackets, depth, err)
			}
		}
	}
}

// The bound counts from the list of rows, also for a cell that is read by itself.
func TestNestingOfCells(t *testing.T) {
	for depth, accepted := range map[int]bool{9_998: true, 9_999: false} {
		_, err := azureml.ParseAnswer(one("String", "[["+strings.Repeat("[", depth)+strings.Repeat("]", depth)+"]]"))
		var syntax *azureml.SyntaxError
		if accepted && err != nil || !accepted && (!errors.As(err, &syntax) || syntax.Want != "no deeper nesting") {
			t.Errorf("a cell nested %d deep: %v", depth, err)
		}
	}
}

// Missing rows carry their numbers, also where a column is read twice and where hundreds come before the first value.
func TestMissingRows(t *testing.T) {
	const rows = 300
	cells := strings.Repeat("[null,null],", rows-1) + `[7,"x"]`
	var want []uint32
	for row := range uint32(rows - 1) {
		want = append(want, row)
	}
	n, s := make([]float64, rows), make([]string, rows)
	n[rows-1], s[rows-1] = 7, "x"
	wantTables(t, []byte(`{"Results":{"o":{"value":{"ColumnNames":["a","b"],"Values":[`+cells+`]}}}}`), table("o", rows, missing(doubles("a", n...), want...), missing(texts("b", s...), want...)))
	wantTables(t, []byte(`{"Results":{"o":{"value":{"ColumnNames":["a","b"],"ColumnTypes":["Double","Int32"],"Values":[`+cells+`]}}}}`),
		table("o", rows, missing(typed("Double", doubles("a", n...)), want...), missing(typed("Int32", texts("b", s...)), want...)))
}

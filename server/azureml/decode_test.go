package azureml_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// answerFile reads an answer of testdata; details, no-details and swagger are captures of the service.
func answerFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "answers", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantTables parses an answer and compares. The parser reads what has room behind it in other ways than what has not, so
// the answer comes with blanks behind it too.
func wantTables(t *testing.T, body []byte, want ...azureml.Table) {
	t.Helper()
	for _, blanks := range []string{"", strings.Repeat(" ", 40)} {
		got, err := azureml.ParseAnswer([]byte(string(body) + blanks))
		if err != nil {
			t.Fatalf("ParseAnswer(%s): %v", body, err)
		}
		if d := diff(want, got); d != "" {
			t.Errorf("ParseAnswer(%s), with %d blanks behind it, differs (-want +got):\n%s", body, len(blanks), d)
		}
	}
}

// one returns an answer with one table of one column.
func one(columnType, values string) []byte {
	return []byte(`{"Results":{"o":{"type":"table","value":{"ColumnNames":["c"],"ColumnTypes":["` + columnType + `"],"Values":` + values + `}}}}`)
}

// untyped returns an answer with one table of one column whose type is not told.
func untyped(values string) []byte {
	return []byte(`{"Results":{"o":{"type":"table","value":{"ColumnNames":["c"],"Values":` + values + `}}}}`)
}

func TestParseAnswerFiles(t *testing.T) {
	for name, want := range map[string][]azureml.Table{
		"details": {table("output1", 2, typed("Int32", int64s("surface", 100, 150)), typed("Double", doubles("Scored Labels", 100749.893789066, 147449.944996009)))},
		"no-details": {table("output1", 2, texts("", "29.4621959870899", "25.1658357600726")),
			table("output2", 1, texts("", "data:text/plain,Execution OK\r\n"), missing(texts("", ""), 0))},
		"values-first": {table("output1", 2, typed("DateTime", texts("Time", "5/30/2010 6:07:00 PM", "5/30/2010 6:08:00 PM")), typed("Int32", int64s("Data", 1, -7)),
			typed("Boolean", bools("Alert", true, false)), missing(typed("Double", doubles("Score", 0, 1e-5)), 0))},
		"bare": {table("o", 2, doubles("n", 1, -0.5), bools("b", true, false), texts("s", "a", "b"), texts("x", `{"k":[1, 2]}`, `[]`),
			missing(texts("late", "", "9007199254740993"), 0), missing(texts("none", "", ""), 0, 1))},
		"fallback": {table("o", 3, typed("Int32", texts("i", "1", "2", "3.0")), missing(typed("Double", texts("d", "1,5", "3", "")), 2),
			missing(typed("Boolean", texts("b", "True", "", "yes")), 1))},
		"bom": {table("o", 1, typed("Double", doubles("😀", 1e21)), typed("String", texts("\ufffd", "a/b\x00")))},
	} {
		t.Run(name, func(t *testing.T) { wantTables(t, answerFile(t, name), want...) })
	}
}

// What a service calls a column's type decides on its vector; quoted cells, as classic answers, and bare ones, as today's
// endpoints do, read the same.
func TestColumnTypes(t *testing.T) {
	for _, tc := range []struct {
		columnType, values string
		want               azureml.Column
	}{
		{"Double", `[["1.5"],[2.5]]`, doubles("c", 1.5, 2.5)},
		{"Single", `[["1.5"],[2.5]]`, doubles("c", 1.5, 2.5)},
		{"Numeric", `[["1.5"],[2.5]]`, doubles("c", 1.5, 2.5)},
		{"Byte", `[["255"],[0]]`, int64s("c", 255, 0)},
		{"Int16", `[["-32768"],[7]]`, int64s("c", -32768, 7)},
		{"Int32", `[["-1"],[7]]`, int64s("c", -1, 7)},
		{"Int64", `[["9223372036854775807"],[-9223372036854775808]]`, int64s("c", math.MaxInt64, math.MinInt64)},
		{"Boolean", `[["True"],["False"],["true"],["false"],[true],[false]]`, bools("c", true, false, true, false, true, false)},
		{"String", `[["7"],[7.0],["True"],[true],[""]]`, texts("c", "7", "7.0", "True", "true", "")},
		{"DateTime", `[["5/30/2010 6:07:00 PM"]]`, texts("c", "5/30/2010 6:07:00 PM")},
		{"UInt64", `[["18446744073709551615"],[1]]`, texts("c", "18446744073709551615", "1")},
		{"Categorical", `[["1"]]`, texts("c", "1")},
		{"", `[["1"],[2]]`, texts("c", "1", "2")},
		{"int32", `[["1"]]`, texts("c", "1")}, // types are case-sensitive
		{"Int32", `[]`, int64s("c")},
		{"Double", `[[null],[null]]`, missing(doubles("c", 0, 0), 0, 1)},
		{"Int64", `[[null],["3"]]`, missing(int64s("c", 0, 3), 0)},
		{"Boolean", `[[true],[null]]`, missing(bools("c", true, false), 1)},
		{"String", `[["null"],[null]]`, missing(texts("c", "null", ""), 1)},
	} {
		t.Run(tc.columnType+tc.values, func(t *testing.T) {
			rows := len(tc.want.Doubles) + len(tc.want.Int64s) + len(tc.want.Strings) + len(tc.want.Bools)
			wantTables(t, one(tc.columnType, tc.values), table("o", rows, typed(tc.columnType, tc.want)))
		})
	}
}

// Doubles come in .NET's spellings, and only in those: what Go's own parser takes besides is no number here.
func TestDoubleTexts(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "-0": math.Copysign(0, -1), "65": 65, "330": 330, "0.059025701135397": 0.059025701135397, "-0.687952590518378": -0.687952590518378,
		"1E-05": 1e-5, "1E+21": 1e21, "1e5": 1e5, "1.7976931348623157E+308": math.MaxFloat64, "5E-324": math.SmallestNonzeroFloat64,
		"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1), "∞": math.Inf(1), "-∞": math.Inf(-1),
		"+1": 1, ".5": 0.5, "5.": 5, "9007199254740993": 9007199254740992, `1E\u002B21`: 1e21, `\u221e`: math.Inf(1), `\u0031`: 1,
	} {
		wantTables(t, one("Double", `[["`+text+`"]]`), table("o", 1, typed("Double", doubles("c", want))))
	}
	for _, text := range []string{"", " 1", "1 ", "1,5", "1,000.5", "0x1p4", "1_000", "inf", "nan", "NAN", "infinity", "+Infinity", "1E", "e", "-", ".", "1E+400", "-1E+400", "1.2.3", "True", "null", "--1"} {
		wantTables(t, one("Double", `[["`+text+`"]]`), table("o", 1, typed("Double", texts("c", text))))
	}
}

// A column with one cell that its type cannot hold comes whole as texts: every cell in the answer's own characters, the
// type as told, the missing rows still missing.
func TestFallbackToText(t *testing.T) {
	for _, tc := range []struct {
		columnType, values string
		want               azureml.Column
	}{
		{"Int32", `[["007"],[ 1 ],["x"],[null],["+5"]]`, missing(texts("c", "007", "1", "x", "", "+5"), 3)},
		{"Int32", `[["1"],["1.0"]]`, texts("c", "1", "1.0")},
		{"Int32", `[["1"],[1e2]]`, texts("c", "1", "1e2")},
		{"Int32", `[["1"],[""]]`, texts("c", "1", "")},
		{"Int64", `[["1"],["9223372036854775808"]]`, texts("c", "1", "9223372036854775808")},
		{"Int64", `[[-9223372036854775809],[1]]`, texts("c", "-9223372036854775809", "1")},
		{"Int32", `[[1],[true]]`, texts("c", "1", "true")},
		{"Int32", `[["1"],["\u0061\n"]]`, texts("c", "1", "a\n")},
		{"Double", `[["0.10"],[1.50],["a\"b"],[null],[1E-05]]`, missing(texts("c", "0.10", "1.50", `a"b`, "", "1E-05"), 3)},
		{"Double", `[[1],[1e400]]`, texts("c", "1", "1e400")},
		{"Double", `[[1],[{"a" : [1, "é"]}],[[ ]]]`, texts("c", "1", `{"a" : [1, "é"]}`, "[ ]")},
		{"Double", `[[1],[false]]`, texts("c", "1", "false")},
		{"Boolean", `[["True"],["TRUE"],[null]]`, missing(texts("c", "True", "TRUE", ""), 2)},
		{"Boolean", `[[true],[1]]`, texts("c", "true", "1")},
		{"Boolean", `[["False"],["0"]]`, texts("c", "False", "0")},
		{"Boolean", `[[null],[[true]]]`, missing(texts("c", "", "[true]"), 0)},
	} {
		t.Run(tc.columnType+tc.values, func(t *testing.T) {
			wantTables(t, one(tc.columnType, tc.values), table("o", len(tc.want.Strings), typed(tc.columnType, tc.want)))
		})
	}
}

// Several columns fall back at different rows while others stay what they are.
func TestSeveralColumnsFallBack(t *testing.T) {
	body := []byte(`{"Results":{"o":{"value":{"ColumnTypes":["Int32","Int32","Double","Boolean","String"],"ColumnNames":["a","b","c","d","e"],
		"Values":[["x","1","1.0","True","s"],["2","2",null,"False",5],["3",3,"?","maybe","t"]]}}}}`)
	wantTables(t, body, table("o", 3,
		typed("Int32", texts("a", "x", "2", "3")), typed("Int32", int64s("b", 1, 2, 3)), missing(typed("Double", texts("c", "1.0", "", "?")), 1),
		typed("Boolean", texts("d", "True", "False", "maybe")), typed("String", texts("e", "s", "5", "t"))))
}

// Without ColumnTypes the first cell that is there tells the vector; integers that a double might not hold stay texts.
func TestUntypedColumns(t *testing.T) {
	for values, want := range map[string]azureml.Column{
		`[]`:                         texts("c"),
		`[[1],[-2.5],[1e3]]`:         doubles("c", 1, -2.5, 1000),
		`[[-0]]`:                     doubles("c", math.Copysign(0, -1)),
		`[[true],[false]]`:           bools("c", true, false),
		`[["1"],["2"]]`:              texts("c", "1", "2"),
		`[[null],[null]]`:            missing(texts("c", "", ""), 0, 1),
		`[[null],[null],[7],[null]]`: missing(doubles("c", 0, 0, 7, 0), 0, 1, 3),
		`[[null],[true]]`:            missing(bools("c", false, true), 0),
		`[[null],["x"]]`:             missing(texts("c", "", "x"), 0),
		`[[9007199254740992],[-9007199254740992]]`: doubles("c", 1<<53, -1<<53),
		`[[1],[9007199254740993]]`:                 texts("c", "1", "9007199254740993"),
		`[[-9007199254740993]]`:                    texts("c", "-9007199254740993"),
		`[[0.5],[18446744073709551616]]`:           texts("c", "0.5", "18446744073709551616"),
		`[[9007199254740993.0],[1E300]]`:           doubles("c", 9007199254740992, 1e300),
		`[[1.0],[1e400]]`:                          texts("c", "1.0", "1e400"),
		`[[1],["2"]]`:                              texts("c", "1", "2"),
		`[[1],["\u0032"]]`:                         texts("c", "1", "2"),
		`[[1],[true],[null]]`:                      missing(texts("c", "1", "true", ""), 2),
		`[[true],["True"]]`:                        texts("c", "true", "True"),
		`[[false],[0]]`:                            texts("c", "false", "0"),
		`[["a"],[1.50],[true],[[ 1]]]`:             texts("c", "a", "1.50", "true", "[ 1]"),
		`[[{"a":1}],["b"]]`:                        texts("c", `{"a":1}`, "b"),
	} {
		t.Run(values, func(t *testing.T) {
			rows := len(want.Doubles) + len(want.Strings) + len(want.Bools)
			wantTables(t, untyped(values), table("o", rows, want))
		})
	}
}

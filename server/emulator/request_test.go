package emulator

import (
	"strings"
	"testing"
)

const (
	badArgumentText     = "Invalid argument provided."
	badUserArgumentText = "Invalid user argument provided."
)

func refusedBody(place string) refusal {
	return refusal{400, "BadArgument", badArgumentText, "RequestBodyInvalid",
		"No request body provided or error in deserializing the request body. " + place}
}

func refusedParse(details string) refusal {
	return refusal{400, "BadUserArgument", badUserArgumentText, "InputParseError",
		"Parsing of input vector failed.  Verify the input vector has the correct number of columns and data types.  Additional details: " + details + "."}
}

func refusedMismatch(what string) refusal {
	return refusal{400, "BadUserArgument", badUserArgumentText, "InputMismatchError",
		"Input data does not match input port schema. " + what + "."}
}

func refusedNames(names string) refusal {
	return refusal{400, "BadArgument", badArgumentText, "InvalidInputNames",
		"Invalid service input name(s) specified in the request: " + names + ". Please map the input data to the correct service inputs and try again."}
}

var refusedNoInput = refusal{400, "BadArgument", badArgumentText, "MissingRequestInput",
	"The web service expects an input, but no input was provided. Ensure valid inputs are provided based on the published input ports in the model and try again."}

func refusedParameter(what string) refusal {
	return refusal{400, "BadUserArgument", badUserArgumentText, "UserParameterInvalid", what}
}

func refusedUnexpected(name string) refusal {
	return refusal{400, "BadUserArgument", badUserArgumentText, "UnexpectedParameter",
		"Verify only the required parameters expected by the web service are passed and try again. Unexpected: " + name + "."}
}

type badRequest struct {
	name, body string
	want       refusal
}

func testBadRequests(t *testing.T, path string, tests []badRequest) {
	t.Parallel()
	e := mustNew(t, Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, query := range []string{"details=true", "format=swagger"} {
				wantRefusal(t, execute(e, path, query, tt.body), tt.want)
			}
		})
	}
}

func TestBadJSON(t *testing.T) {
	testBadRequests(t, hashingPath, []badRequest{
		{"nothing", "", refusedBody("Byte 0: the body is empty.")},
		{"blanks", " \r\n\t ", refusedBody("Byte 5: the body is empty.")},
		{"only a mark", "\xef\xbb\xbf", refusedBody("Byte 3: the body is empty.")},
		{"text", "hello", refusedBody("Byte 0: 'h' is not expected here.")},
		{"cut in an object", `{"Inputs":`, refusedBody("Byte 10: the JSON ends too early.")},
		{"cut in a string", `{"Inp`, refusedBody("Byte 5: the JSON ends too early.")},
		{"cut in a number", `{"Inputs":1.`, refusedBody("Byte 12: the JSON ends too early.")},
		{"cut in a word", `{"Inputs":nul`, refusedBody("Byte 13: the JSON ends too early.")},
		{"cut in an escape", `{"Inputs":"\u00`, refusedBody("Byte 15: the JSON ends too early.")},
		{"wrong last byte", `{"Inputs":}`, refusedBody("Byte 10: '}' is not expected here.")},
		{"second value", `{} {}`, refusedBody("Byte 3: '{' is not expected here.")},
		{"behind a mark", "\xef\xbb\xbf{]", refusedBody("Byte 4: ']' is not expected here.")},
		{"bare NaN", `{"Inputs":{"input1":[{"Col2":NaN}]}}`, refusedBody("Byte 29: 'N' is not expected here.")},
		{"bare minus Infinity", `{"Inputs":{"input1":[{"Col2":-Infinity}]}}`, refusedBody("Byte 30: 'I' is not expected here.")},
		{"single quotes", `{'Inputs':{}}`, refusedBody("Byte 1: '\\'' is not expected here.")},
		{"comma at the end", `{"Inputs":{},}`, refusedBody("Byte 13: '}' is not expected here.")},
		{"comment", `{/**/}`, refusedBody("Byte 1: '/' is not expected here.")},
		{"leading zero", `{"Inputs":012}`, refusedBody("Byte 11: '1' is not expected here.")},
		{"control character", "{\"Inputs\":\"a\nb\"}", refusedBody(`Byte 12: '\n' is not expected here.`)},
		{"not UTF-8", "{\"Inputs\":\"\xff\"}", refusedBody("Byte 11: the body is not UTF-8.")},
		{"UTF-16", "\xff\xfe{\x00}\x00", refusedBody("Byte 0: the body is not UTF-8.")},
		{"cut rune behind a mark", "\xef\xbb\xbf{\"é\":\"\xc3\"}", refusedBody("Byte 10: the body is not UTF-8.")},
		{"deep arrays", strings.Repeat("[", 1<<20), refusedBody("Byte 32: the JSON nests deeper than 32 levels.")},
		{"deep objects", `{"x":` + strings.Repeat(`{"x":`, 40) + "1" + strings.Repeat("}", 41), refusedBody("Byte 160: the JSON nests deeper than 32 levels.")},
	})
}

// 32 levels are read, and brackets in a string are none.
func TestDepth(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	const input = `"Inputs":{"input1":[{"Col2":"This is a good day"}]}`
	deepest := strings.Repeat("[", 31) + strings.Repeat("]", 31)
	for _, body := range []string{
		`{"x":` + deepest + `,` + input + `}`,
		`{"x":"\"\\` + strings.Repeat("[", 100) + `",` + input + `}`,
	} {
		wantBody(t, execute(e, hashingPath, "", body), hashedPlain)
	}
}

func TestBadEnvelope(t *testing.T) {
	const shapes = "must be an array of row objects or an object of ColumnNames and Values."
	testBadRequests(t, hashingPath, []badRequest{
		{"array", `[]`, refusedBody("Byte 0: the request must be an object.")},
		{"text", ` "a"`, refusedBody("Byte 1: the request must be an object.")},
		{"number", `5`, refusedBody("Byte 0: the request must be an object.")},
		{"null", `null`, refusedBody("Byte 0: the request must be an object.")},
		{"Inputs twice", `{"Inputs":{},"Inputs":{}}`, refusedBody("Byte 22: Inputs is given twice.")},
		{"parameters twice", `{"GlobalParameters":1,"GlobalParameters":{}}`, refusedBody("Byte 41: GlobalParameters is given twice.")},
		{"Inputs array", `{"Inputs":[1]}`, refusedBody("Byte 10: Inputs must be an object.")},
		{"Inputs text", `{"Inputs":"x"}`, refusedBody("Byte 10: Inputs must be an object.")},
		{"input twice", `{"Inputs":{"input1":[],"input1":[]}}`, refusedBody("Byte 32: input1 is given twice.")},
		{"input text", `{"Inputs":{"input1":"a"}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"input number", `{"Inputs":{"input1":1}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"single row", `{"Inputs":{"input1":{"Col2":"a"}}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"no Values", `{"Inputs":{"input1":{"ColumnNames":["Col2"]}}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"no ColumnNames", `{"Inputs":{"input1":{"Values":[["a"]]}}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"empty object", `{"Inputs":{"input1":{}}}`, refusedBody("Byte 20: input1 " + shapes)},
		{"bare rows", `{"Inputs":{"input1":[["a"]]}}`, refusedBody("Byte 21: row 0 must be an object.")},
		{"null row object", `{"Inputs":{"input1":[{"Col2":"a"},null]}}`, refusedBody("Byte 34: row 1 must be an object.")},
		{"Values object", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":{}}}}`, refusedBody("Byte 53: Values must be an array of rows.")},
		{"Values null", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":null}}}`, refusedBody("Byte 53: Values must be an array of rows.")},
		{"Values flat", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":["a"]}}}`, refusedBody("Byte 54: row 0 of Values must be an array of cells.")},
		{"Values of objects", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["a"],{"Col2":"a"}]}}}`, refusedBody("Byte 60: row 1 of Values must be an array of cells.")},
		{"Values twice", `{"Inputs":{"input1":{"Values":[],"ColumnNames":["Col2"],"Values":[]}}}`, refusedBody("Byte 65: Values is given twice.")},
		{"ColumnNames twice", `{"Inputs":{"input1":{"ColumnNames":[],"ColumnNames":[]}}}`, refusedBody("Byte 52: ColumnNames is given twice.")},
		{"ColumnNames text", `{"Inputs":{"input1":{"ColumnNames":"Col2","Values":[]}}}`, refusedBody("Byte 35: ColumnNames must be an array of texts.")},
		{"ColumnNames numbers", `{"Inputs":{"input1":{"ColumnNames":[2],"Values":[]}}}`, refusedBody("Byte 36: ColumnNames must be an array of texts.")},
	})
}

func TestBadInputs(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	testBadRequests(t, hashingPath, []badRequest{
		{"no Inputs", `{}`, refusedNoInput},
		{"null Inputs", `{"Inputs":null}`, refusedNoInput},
		{"empty Inputs", `{"Inputs":{}}`, refusedNoInput},
		{"empty array", `{"Inputs":[]}`, refusedNoInput},
		{"null input", `{"Inputs":{"input1":null}}`, refusedNoInput},
		{"Inputs in lower case", `{"inputs":{"input1":[]}}`, refusedNoInput},
		{"another name", `{"Inputs":{"Input1":[{"Col2":"a"}]}}`, refusedNames("Input1")},
		{"one name too many", `{"Inputs":{"input1":[{"Col2":"a"}],"input2":[],"b":1}}`, refusedNames("input2, b")},
		{"many names", `{"Inputs":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1}}`, refusedNames("a, b, c, d, e, f, g, h and 2 more")},
		{"long name", `{"Inputs":{"` + long + `":1}}`, refusedNames(long[:64] + "...")},
		{"unknown column", `{"Inputs":{"input1":{"ColumnNames":["Col1"],"Values":[["a"]]}}}`, refusedMismatch(`ColumnNames has an unknown column "Col1"`)},
		{"column too many", `{"Inputs":{"input1":{"ColumnNames":["Col2","b"],"Values":[["a","b"]]}}}`, refusedMismatch(`ColumnNames has an unknown column "b"`)},
		{"column twice", `{"Inputs":{"input1":{"ColumnNames":["Col2","Col2"],"Values":[]}}}`, refusedMismatch(`ColumnNames has column "Col2" twice`)},
		{"column missing", `{"Inputs":{"input1":{"ColumnNames":[],"Values":[]}}}`, refusedMismatch(`ColumnNames lacks column "Col2"`)},
		{"case of a column", `{"Inputs":{"input1":[{"col2":"a"}]}}`, refusedMismatch(`Row 0 has an unknown column "col2"`)},
		{"later row unknown", `{"Inputs":{"input1":[{"Col2":"a"},{"Col2":"b","Col3":"c"}]}}`, refusedMismatch(`Row 1 has an unknown column "Col3"`)},
		{"row without columns", `{"Inputs":{"input1":[{"Col2":"a"},{}]}}`, refusedMismatch(`Row 1 lacks column "Col2"`)},
		{"row with a column twice", `{"Inputs":{"input1":[{"Col2":"a","Col2":"a"}]}}`, refusedMismatch(`Row 0 has column "Col2" twice`)},
		{"too many cells", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["a"],["b"],["c","d",{"e":[]}]]}}}`, refusedParse("row 2: 3 cells, expected 1")},
		{"no cells", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[[]]}}}`, refusedParse("row 0: 0 cells, expected 1")},
		{"array in a cell", `{"Inputs":{"input1":[{"Col2":["a"]}]}}`, refusedParse(`row 0, column "Col2": an array is not a String`)},
		{"object in a cell", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[[{"a":1}]]}}}`, refusedParse(`row 0, column "Col2": an object is not a String`)},
		{"unknown parameter", `{"Inputs":{"input1":[]},"GlobalParameters":{"Seed":1}}`, refusedUnexpected("Seed")},
		{"unknown null parameter", `{"Inputs":{"input1":[]},"GlobalParameters":{"Seed":null}}`, refusedUnexpected("Seed")},
		{"parameters of a list", `{"Inputs":{"input1":[]},"GlobalParameters":[1]}`, refusedBody("Byte 43: GlobalParameters must be an object.")},
		{"parameters of a text", `{"Inputs":{"input1":[]},"GlobalParameters":""}`, refusedBody("Byte 43: GlobalParameters must be an object.")},
	})
}

// riskRow is the woman's row with one cell replaced.
func riskRow(column, cell string) string {
	row := ""
	for part := range strings.SplitSeq(womanRow, ",") {
		if strings.HasPrefix(part, `"`+column+`":`) {
			part = `"` + column + `":` + cell
		}
		row += "," + part
	}
	return "{" + row[1:] + "}"
}

func TestBadCells(t *testing.T) {
	long := strings.Repeat("é", 1<<16)
	var tests []badRequest
	for _, tt := range [][3]string{
		{"Age", `"abc"`, `"abc" is not an Int32`},
		{"Age", `""`, `"" is not an Int32`},
		{"Age", `61.5`, `61.5 is not an Int32`},
		{"Age", `true`, `true is not an Int32`},
		{"Age", `2147483648`, `2147483648 is not an Int32`},
		{"Age", `"` + long + `"`, `"` + long[:128] + `..." is not an Int32`},
		{"Age", `29`, `29 is not within 30 to 74`},
		{"Age", `"75"`, `"75" is not within 30 to 74`},
		{"TotalCholesterol", `"1,5"`, `"1,5" is not a Double`},
		{"TotalCholesterol", `"0x10"`, `"0x10" is not a Double`},
		{"TotalCholesterol", `"1_0"`, `"1_0" is not a Double`},
		{"TotalCholesterol", `"inf"`, `"inf" is not a Double`},
		{"TotalCholesterol", `1e999`, `1e999 is not a Double`},
		{"TotalCholesterol", `"NaN"`, `"NaN" is not within 1 to 2000`},
		{"TotalCholesterol", `"-Infinity"`, `"-Infinity" is not within 1 to 2000`},
		{"HdlCholesterol", `false`, `false is not a Double`},
		{"HdlCholesterol", `0`, `0 is not within 1 to 2000`},
		{"HdlCholesterol", `[1]`, `an array is not a Double`},
		{"SystolicBloodPressure", `{}`, `an object is not a Double`},
		{"Sex", `"Male"`, `"Male" is not one of male, female`},
		{"Sex", `""`, `"" is not one of male, female`},
		{"Sex", `1`, `1 is not one of male, female`},
		{"Treated", `"yes"`, `"yes" is not a Boolean`},
		{"Treated", `2`, `2 is not a Boolean`},
		{"Smoker", `""`, `"" is not a Boolean`},
	} {
		column, cell, why := tt[0], tt[1], tt[2]
		tests = append(tests, badRequest{column + " " + cut(cell), `{"Inputs":{"input1":[{` + womanRow + `},` + riskRow(column, cell) + `]}}`,
			refusedParse(`row 1, column "` + column + `": ` + why)})
	}
	tests = append(tests,
		badRequest{"column missing", `{"Inputs":{"input1":[{"Sex":"male","Age":40}]}}`, refusedMismatch(`Row 0 lacks column "TotalCholesterol"`)},
		badRequest{"parameter text", `{"Inputs":{"input1":[]},"GlobalParameters":{"High risk threshold":"high"}}`, refusedParameter(`Global parameter "High risk threshold": "high" is not a Double.`)},
		badRequest{"parameter range", `{"Inputs":{"input1":[]},"GlobalParameters":{"High risk threshold":1.5}}`, refusedParameter(`Global parameter "High risk threshold": 1.5 is not within 0 to 1.`)},
		badRequest{"parameter object", `{"Inputs":{"input1":[]},"GlobalParameters":{"High risk threshold":{}}}`, refusedParameter(`Global parameter "High risk threshold": an object is not a Double.`)},
		badRequest{"parameter twice", `{"Inputs":{"input1":[]},"GlobalParameters":{"High risk threshold":0.1,"High risk threshold":0.2}}`, refusedBody(`Byte 92: global parameter "High risk threshold" is given twice.`)},
		badRequest{"case of a parameter", `{"Inputs":{"input1":[]},"GlobalParameters":{"high risk threshold":0.1}}`, refusedUnexpected("high risk threshold")},
	)
	testBadRequests(t, riskPath, tests)
}

// No service has a required parameter yet; the next model may.
func TestRequiredParameter(t *testing.T) {
	t.Parallel()
	s := featureHashing()
	s.parameters = []parameter{
		{column: column{name: "Seed", typ: typeInt32}},
		{column: column{name: "Mode", typ: typeString, categories: []string{"a", "b"}}, fallback: `"b"`},
	}
	for _, given := range []string{`{}`, `null`, `{"Seed":null}`, `{"Mode":"a"}`} {
		_, _, p := s.decode([]byte(`{"Inputs":{"input1":[]},"GlobalParameters":` + given + `}`))
		want := refusal{400, "BadUserArgument", badUserArgumentText, "MissingRequiredGlobalParameters",
			"Parameter(s) expected by the web service are missing. Verify all the required parameters expected by the web service are correct and try again. Missing: Seed."}
		if p == nil || (refusal{p.status, p.code, p.message, p.detail, p.because}) != want {
			t.Errorf("%s: got %+v", given, p)
		}
	}
	_, parameters, p := s.decode([]byte(`{"GlobalParameters":{"Seed":7},"Inputs":{"input1":[]}}`))
	if p != nil || parameters.vectors[0].numbers[0] != 7 || parameters.vectors[1].texts[0] != "b" {
		t.Errorf("got %+v, %+v", parameters, p)
	}
}

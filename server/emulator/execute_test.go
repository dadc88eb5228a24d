package emulator

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	hashedHead = `{"Results":{"output1":{"type":"table","value":{"ColumnNames":["Col2","Col2_HashingFeature.0","Col2_HashingFeature.1","Col2_HashingFeature.2","Col2_HashingFeature.3","Col2_HashingFeature.4","Col2_HashingFeature.5","Col2_HashingFeature.6","Col2_HashingFeature.7"],` +
		`"ColumnTypes":["String","Int32","Int32","Int32","Int32","Int32","Int32","Int32","Int32"],`
	hashedValues = `"Values":[["This is a good day","1","1","2","2","0","2","0","1"]]}}}}`
	hashedRows   = `{"Results":{"output1":[{"Col2":"This is a good day","Col2_HashingFeature.0":"1","Col2_HashingFeature.1":"1","Col2_HashingFeature.2":"2","Col2_HashingFeature.3":"2",` +
		`"Col2_HashingFeature.4":"0","Col2_HashingFeature.5":"2","Col2_HashingFeature.6":"0","Col2_HashingFeature.7":"1"}]}}`
	hashedPlain = `{"Results":{"output1":{"type":"table","value":{` + hashedValues
)

// The published example, in both bodies and all three shapes of an answer.
func TestShapes(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	bodies := map[string]string{
		"columns": goodDay,
		"rows":    `{"Inputs":{"input1":[{"Col2":"This is a good day"}]},"GlobalParameters":{}}`,
	}
	for query, want := range map[string]string{
		"":                                   hashedPlain,
		"api-version=2.0&details=false":      hashedPlain,
		"details=":                           hashedPlain,
		"details=1":                          hashedPlain,
		"format=json":                        hashedPlain,
		"api-version=2.0&details=true":       hashedHead + hashedValues,
		"Details=True":                       hashedHead + hashedValues,
		"details=true&unknown=1&x-y=":        hashedHead + hashedValues,
		"api-version=2.0&format=swagger":     hashedRows,
		"details=true&format=swagger":        hashedRows,
		"FORMAT=Swagger&details=TRUE":        hashedRows,
		"format=swagger&subscription-key=ab": hashedRows,
	} {
		for name, body := range bodies {
			t.Run(name+" "+query, func(t *testing.T) {
				t.Parallel()
				w := execute(e, hashingPath, query, body)
				wantBody(t, w, want)
				if !json.Valid(w.Body.Bytes()) {
					t.Error("the answer is no JSON")
				}
			})
		}
	}
}

// Whatever stands in a text comes back, as a JSON string.
func TestTexts(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for sent, want := range map[string]string{
		`""`:                      `""`,
		`" two  blanks "`:         `" two  blanks "`,
		`"q\"uote b\\ack s\/"`:    `"q\"uote b\\ack s/"`,
		`"tab\tline\nnul\u0000"`:  `"tab\u0009line\u000anul\u0000"`,
		`"é \u00e9 \ud83d\ude00"`: `"é é 😀"`,
		`"<&>\u2028"`:             "\"<&>\u2028\"",
		`"\ud800"`:                "\"\ufffd\"",
		`12.50`:                   `"12.50"`,
		`-1E+5`:                   `"-1E+5"`,
		`true`:                    `"True"`,
		`false`:                   `"False"`,
		`null`:                    `null`,
	} {
		w := execute(e, hashingPath, "format=swagger", `{"Inputs":{"input1":[{"Col2":`+sent+`}]}}`)
		if got := w.Body.String(); !strings.HasPrefix(got, `{"Results":{"output1":[{"Col2":`+want+`,"Col2_H`) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s came back as %s", sent, got)
		}
	}
}

const womanRow = `"Sex":"female","Age":61,"TotalCholesterol":180,"HdlCholesterol":47,"SystolicBloodPressure":124,"Treated":false,"Smoker":true,"Diabetic":false`

func TestRiskAnswer(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	const (
		columns = `"ColumnNames":["Sex","Age","TotalCholesterol","HdlCholesterol","SystolicBloodPressure","Treated","Smoker","Diabetic","Scored Probabilities","Scored Labels"],` +
			`"ColumnTypes":["String","Int32","Double","Double","Double","Boolean","Boolean","Boolean","Double","Boolean"],`
		counts = `"ColumnNames":["Rows","High risk rows"],"ColumnTypes":["Int32","Int32"],`
		woman  = `["female","61","180","47","124","False","True","False","0.1048418020372","False"]`
		man    = `["male","53","161.5","55","125","True","False","True","0.156726685704312","True"]`
	)
	// Columns in another order than the service's, cells in all spellings.
	body := `{"GlobalParameters":{"High risk threshold":"0.15"},"Inputs":{"input1":{
		"Values":[[61,"female","180","47.0",1.24e2,"false","1",0],["53.0","male",161.5," 55 ",125,true,"FALSE","True"],[null,"male",161,55,125,true,false,true]],
		"ColumnNames":["Age","Sex","TotalCholesterol","HdlCholesterol","SystolicBloodPressure","Treated","Smoker","Diabetic"]}}}`
	wantBody(t, execute(e, riskPath, "details=true", body),
		`{"Results":{"output1":{"type":"table","value":{`+columns+`"Values":[`+woman+`,`+man+`,["male",null,"161","55","125","True","False","True",null,null]]}},`+
			`"output2":{"type":"table","value":{`+counts+`"Values":[["3","1"]]}}}}`)
	wantBody(t, execute(e, riskPath, "", `{"Inputs":{"input1":[{`+womanRow+`}]}}`),
		`{"Results":{"output1":{"type":"table","value":{"Values":[`+woman+`]}},"output2":{"type":"table","value":{"Values":[["1","0"]]}}}}`)
	wantBody(t, execute(e, riskPath, "format=swagger", `{"Inputs":{"input1":[]}}`),
		`{"Results":{"output1":[],"output2":[{"Rows":"0","High risk rows":"0"}]}}`)
	wantBody(t, execute(e, hashingPath, "", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[]}}}`),
		`{"Results":{"output1":{"type":"table","value":{"Values":[]}}}}`)
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for parameters, label := range map[string]string{
		`{}`:                              "False",
		`{"High risk threshold":null}`:    "False",
		`{"High risk threshold":0.11}`:    "False",
		`{"High risk threshold":0.1}`:     "True",
		`{"High risk threshold":"0.1"}`:   "True",
		`{"High risk threshold":" 1e-1"}`: "True",
		`{"High risk threshold":0}`:       "True",
		`{"High risk threshold":1}`:       "False",
	} {
		w := execute(e, riskPath, "format=swagger", `{"Inputs":{"input1":[{`+womanRow+`}]},"GlobalParameters":`+parameters+`}`)
		if got := w.Body.String(); !strings.Contains(got, `"Scored Labels":"`+label+`"}`) {
			t.Errorf("%s: %s", parameters, got)
		}
	}
}

// The ways in which clients say that there are no global parameters, and the
// members they send besides.
func TestTolerated(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	const input = `"Inputs":{"input1":[{"Col2":"This is a good day"}]}`
	for _, body := range []string{
		`{` + input + `}`,
		`{` + input + `,"GlobalParameters":null}`,
		`{` + input + `,"GlobalParameters":{}}`,
		`{` + input + `,"GlobalParameters":[ ]}`,
		`{"Outputs":null,` + input + `,"Extra":{"a":[1,-2.5e3,"x\"",true,false,null,{"b":[]}]}}`,
		` { "Inputs" : { "input1" : [ { "Col2" : "This is a good day" } ] } , "GlobalParameters" : { } } ` + "\r\n",
		`{"Inputs":{"input1":{"ColumnTypes":["String"],"Values":[["This is a good day"]],"ColumnNames":["Col2"]}}}`,
		`{"\u0049nputs":{"input1":[{"Col\u0032":"This is a good\u0020day"}]}}`,
	} {
		w := execute(e, hashingPath, "", body)
		if w.Code != 200 || w.Body.String() != hashedPlain {
			t.Errorf("%s: status %d: %s", body, w.Code, w.Body)
		}
	}
}

func TestSeveralRows(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	const body = `{"Inputs":{"input1":[{"Col2":"good"},{"Col2":null},{"Col2":"day"}]}}`
	wantBody(t, execute(e, hashingPath, "", body),
		`{"Results":{"output1":{"type":"table","value":{"Values":[["good","0","1","0","0","0","0","0","0"],[null,"0","0","0","0","0","0","0","0"],["day","0","0","0","0","0","1","0","0"]]}}}}`)
	w := execute(e, hashingPath, "format=swagger", body)
	var answer struct {
		Results struct{ Output1 []map[string]any }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Results.Output1) != 3 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if last := answer.Results.Output1[2]; len(last) != 9 || last["Col2"] != "day" || last["Col2_HashingFeature.5"] != "1" {
		t.Errorf("the last row is %v", last)
	}
}

// 4 MB of rows without a text would make 200 MB of an answer.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	rows := strings.Repeat("[null],", 300_000)
	body := `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[` + rows[:len(rows)-1] + `]}}}`
	wantRefusal(t, execute(e, hashingPath, "format=swagger", body), refusal{413, "MemoryQuotaViolation", "The model had exceeded the memory quota assigned to it.", "OutOfMemoryLimit",
		"The model consumed more memory than was appropriated for it. Maximum allowed memory for the model is 64 MB. Please check your model for issues."})

	s, two := featureHashing(), &table{rows: 2, vectors: []vector{{texts: []string{"", ""}}}}
	for _, shape := range []shape{shapeValues, shapeDetails, shapeRows} {
		tables := s.score(two, nil)
		whole, ok := s.encode(tables, shape, 1000)
		if !ok || !json.Valid(whole) {
			t.Errorf("shape %d: %s", shape, whole)
		}
		if _, ok := s.encode(tables, shape, len(whole)); !ok {
			t.Errorf("shape %d: refused at its length", shape)
		}
		if _, ok := s.encode(tables, shape, len(whole)-1); ok {
			t.Errorf("shape %d: taken beyond the limit", shape)
		}
		if out, ok := s.encode(tables, shape, 0); ok || len(out) > len(whole)-2*len(`["","0","0","0","0","0","0","0","0"]`) {
			t.Errorf("shape %d: writes rows beyond the limit: %s", shape, out)
		}
	}
}

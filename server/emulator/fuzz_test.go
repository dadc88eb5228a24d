package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzExecute sends any body, with any query, zipped or not: there is never a
// panic, and always JSON, of results or in AzureML's envelope. What is read as
// a request in the column form must score the same as in the row form.
func FuzzExecute(f *testing.F) {
	for _, body := range []string{
		"",
		goodDay,
		`{"Inputs":{"input1":[{"Col2":"This is a good day"},{"Col2":null}]},"GlobalParameters":{}}`,
		`{"Inputs":{"input1":[{` + womanRow + `}]},"GlobalParameters":{"High risk threshold":0.1}}`,
		`{"Inputs":{"input1":[` + riskRow("Age", `"x"`) + `]}}`,
		`{"GlobalParameters":[],"Inputs":{"input1":{"Values":[[61,"female"]],"ColumnNames":["Age","Sex"]}}}`,
		`{"Inputs":{"input1":[{"Col2":NaN}]}}`,
		`{"Inputs":{"Input1":null,"\u0069nput1":[]}} `,
		`{"a":[[[[[[{"b":"\"\\\ud800\u0000"}]]]]]],"Inputs":[],"GlobalParameters":null}`,
		"\xef\xbb\xbf{\"Inputs\":{\"input1\":[{\"Col2\":-1.5e+3}]}}",
		strings.Repeat("[", 40),
		"{\"Inputs\":\"\xff\"}",
		"\x1f\x8b\x08",
	} {
		f.Add([]byte(body), "details=true", false, false)
		f.Add([]byte(body), "format=swagger", true, false)
		f.Add([]byte(body), "api-version=2.0", true, true)
	}
	e := mustNew(f, Config{MaxBody: 1 << 16})
	f.Fuzz(func(t *testing.T, body []byte, query string, risk, zipped bool) {
		path := hashingPath
		if risk {
			path = riskPath
		}
		r := newRequest("POST", path+"/execute", string(body))
		r.URL.RawQuery = query
		if zipped {
			r.Header.Set("Content-Encoding", "gzip")
		}
		w := send(e, r)
		answer := w.Body.Bytes()
		if !utf8.Valid(answer) || !json.Valid(answer) {
			t.Fatalf("status %d, no JSON: %q", w.Code, answer)
		}
		if w.Code != 200 {
			refusalOf(t, w.Code, w.Header(), answer)
			if len(answer) > 4096 {
				t.Errorf("a refusal of %d bytes", len(answer))
			}
			return
		}
		if !strings.HasPrefix(string(answer), `{"Results":{"output1":`) {
			t.Fatalf("no results: %.300s", answer)
		}
		if !zipped {
			checkRoundTrip(t, e, path, body)
		}
	})
}

// checkRoundTrip scores a request that is good once more from its own answer:
// the input columns of a details=true answer are the request in column form,
// and those of format=swagger in row form.
func checkRoundTrip(t *testing.T, e *Emulator, path string, body []byte) {
	t.Helper()
	var columns struct {
		Results struct {
			Output1 struct {
				Value struct {
					ColumnNames []string
					Values      [][]any
				} `json:"value"`
			} `json:"output1"`
		}
	}
	first := execute(e, path, "details=true", string(body)).Body.Bytes()
	if err := json.Unmarshal(first, &columns); err != nil {
		t.Fatal(err)
	}
	table := &columns.Results.Output1.Value
	width := len(e.services[strings.TrimPrefix(path, "/workspaces/demo/services/")].input.columns)
	rows := []map[string]any{}
	for i, row := range table.Values {
		rows = append(rows, map[string]any{})
		for j, cell := range row[:width] {
			rows[i][table.ColumnNames[j]] = cell
		}
		table.Values[i] = row[:width]
	}
	names := table.ColumnNames[:width]
	columnForm := marshal(map[string]any{"Inputs": map[string]any{"input1": map[string]any{"ColumnNames": names, "Values": table.Values}}})
	rowForm := marshal(map[string]any{"Inputs": map[string]any{"input1": rows}})
	a, b := execute(e, path, "details=true", string(columnForm)), execute(e, path, "details=true", string(rowForm))
	tooLong := len(columnForm) > 1<<16 || len(rowForm) > 1<<16
	if !tooLong && (a.Code != 200 || a.Body.String() != b.Body.String()) {
		t.Errorf("the forms differ: %d %s\n%d %s", a.Code, a.Body, b.Code, b.Body)
	}
}

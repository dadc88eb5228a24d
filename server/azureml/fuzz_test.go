package azureml_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// FuzzParseAnswer holds ParseAnswer against a reading of the same bytes by encoding/json.
func FuzzParseAnswer(f *testing.F) {
	files, err := filepath.Glob("testdata/answers/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no answers to begin with: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, text := range []string{"NaN", "-∞", "1E-05", `1E\u002B21`, "007", "9007199254740993", "True", `\ud83d\ude00\ud83d`, "1_0", "0x1p4", "1\x801", "1\xb01", "-0.1234", "0.12345678901234567"} {
		for _, columnType := range []string{"Double", "Int64", "Boolean", "String", "Byte"} {
			f.Add(one(columnType, `[["`+text+`"],[null],[-0.5e1],[true],[{"a":[1]}]]`))
		}
		f.Add(untyped(`[[1],["` + text + `"]]`))
	}
	for _, values := range []string{
		`[[1,"2"],[3.5, 4],[null,"x"]]`, `[[1,2],[3]]`, `[[1],[2,3]]`, `[[1,2],[],[3,4]]`, `[[0.5,true],[1e5,"True"],[01,2]]`, `[["[[","]]"],["a]],[","b"]]`, `[["é \\ \u0041 ]]","1"],["12345678\n","-7"]]`,
	} {
		for _, members := range []string{`"ColumnNames":["a","b"],"ColumnTypes":["Double","Int64"],"Values":%s`, `"ColumnTypes":["String","Boolean"],"Values":%s,"ColumnNames":["a","b"]`, `"ColumnNames":["a"],"Values":%s,"Values":[["x"]],"Values":%[1]s`} {
			f.Add(fmt.Appendf(nil, `{"Results":{"o":{"type":"table","value":{`+members+`}},"p":{"value":{"Values":[["]]"]]}}}}`, values))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > 9_000 {
			t.Skip("near the bound on nesting, which the two count from different brackets")
		}
		body = append(body, strings.Repeat(" ", len(body)%2*40)...) // what has room behind it is read in other ways
		want := consult(body)
		tables, err := azureml.ParseAnswer(body)
		var syntax *azureml.SyntaxError
		var not *azureml.NotTableError
		switch {
		case !want.syntax && !errors.As(err, &syntax):
			t.Errorf("no JSON, and ParseAnswer = %v, %v", tables, err)
		case !want.syntax && (syntax.Offset < 0 || syntax.Offset > len(body)):
			t.Errorf("%v, in %d bytes", err, len(body))
		case want.syntax && !want.table && !errors.As(err, &not):
			t.Errorf("no table, and ParseAnswer = %v, %v", tables, err)
		case want.syntax && want.table && err != nil:
			t.Errorf("ParseAnswer: %v; the oracle reads %v", err, want.tables)
		}
		if err == nil && want.table {
			if d := diff(want.tables, tables); d != "" {
				t.Errorf("ParseAnswer differs from the oracle (-oracle +got):\n%s", d)
			}
		}
	})
}

// FuzzAppendRequest builds a request of the fuzzer's bytes and reads it back: with encoding/json, and, turned into an
// answer, with ParseAnswer. Both must return the very cells.
func FuzzAppendRequest(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x01\x02in\x02\x04\x00\x01a\x80\x00\x00\x00\x00\x00\x00\x00\x01\x01b\x00\x20\x00\x00\x00\x00\x00\x01\x02\x01c\x03\xff\"\\\x03\x01d\x01"))
	f.Add([]byte("\x03\x01x\x03\x01\x00\x01y\x7f\xf0\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x01\x3f\xf0\x00\x00\x00\x00\x00\x00"))
	f.Add(bytes.Repeat([]byte{2, 3, 1, 0x43, 0x40}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		feed := &feed{data}
		inputs, parameters := feed.inputs(), feed.parameters()
		fault := faulty(inputs, parameters)
		body, err := azureml.AppendRequest(nil, inputs, parameters, noLimit)
		var input *azureml.InputError
		if fault != errors.As(err, &input) || fault != (err != nil) {
			t.Fatalf("AppendRequest: %v; faulty is %v", err, fault)
		}
		if fault {
			return
		}
		var size *azureml.SizeError
		if _, err := azureml.AppendRequest(nil, inputs, parameters, len(body)-1); !errors.As(err, &size) {
			t.Errorf("%d bytes with a limit of one less: %v", len(body), err)
		}
		var request struct {
			Inputs           map[string]json.RawMessage
			GlobalParameters any
		}
		if err := json.Unmarshal(body, &request); err != nil {
			t.Fatalf("%s is no JSON: %v", body, err)
		}
		if d := diff(valid(parameters), request.GlobalParameters); d != "" {
			t.Errorf("global parameters differ (-sent +read):\n%s", d)
		}
		if len(request.Inputs) != len(inputs) {
			t.Errorf("%d inputs sent, %d read", len(inputs), len(request.Inputs))
		}
		for _, in := range inputs {
			checkRoundTrip(t, in, request.Inputs[utf8(in.Name)])
		}
	})
}

// checkRoundTrip compares a table with what its JSON reads as.
func checkRoundTrip(t *testing.T, in azureml.Table, raw json.RawMessage) {
	want := expect(in)
	value := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &value); err != nil || len(value) != 2 {
		t.Fatalf("%s has not two members: %v", raw, err)
	}
	types := make([]string, len(in.Columns))
	for i, c := range in.Columns {
		types[i] = map[azureml.Vector]string{azureml.Doubles: "Double", azureml.Int64s: "Int64", azureml.Strings: "String", azureml.Bools: "Boolean"}[c.Vector]
		want.Columns[i].Type = types[i]
	}
	value["ColumnTypes"], _ = json.Marshal(types)
	columns, rows, ok := grid(value)
	if d := diff(want, azureml.Table{Name: want.Name, Rows: rows, Columns: columns}); !ok || d != "" {
		t.Errorf("encoding/json reads it otherwise (-sent +read):\n%s", d)
	}
	quotedName, _ := json.Marshal(in.Name)
	quotedTypes := value["ColumnTypes"]
	answer := `{"Results":{` + string(quotedName) + `:{"type":"table","value":{"ColumnTypes":` + string(quotedTypes) + `,` + string(raw[1:]) + `}}}`
	tables, err := azureml.ParseAnswer([]byte(answer))
	if err != nil {
		t.Fatalf("ParseAnswer(%s): %v", answer, err)
	}
	if d := diff([]azureml.Table{want}, tables); d != "" {
		t.Errorf("ParseAnswer reads it otherwise (-sent +read):\n%s", d)
	}
}

// expect returns what a table reads back as: texts in UTF-8, and nothing where cells are missing.
func expect(in azureml.Table) azureml.Table {
	out := azureml.Table{Name: utf8(in.Name), Rows: in.Rows}
	for _, c := range in.Columns {
		out.Rows = len(c.Doubles) + len(c.Int64s) + len(c.Strings) + len(c.Bools)
		gap := map[uint32]bool{}
		for _, row := range c.Missing {
			gap[row] = true
		}
		w := azureml.Column{Name: utf8(c.Name), Vector: c.Vector, Missing: c.Missing}
		for row := range uint32(out.Rows) {
			switch c.Vector {
			case azureml.Doubles:
				w.Doubles = append(w.Doubles, unless(gap[row], c.Doubles[row]))
			case azureml.Int64s:
				w.Int64s = append(w.Int64s, unless(gap[row], c.Int64s[row]))
			case azureml.Strings:
				w.Strings = append(w.Strings, unless(gap[row], utf8(c.Strings[row])))
			case azureml.Bools:
				w.Bools = append(w.Bools, unless(gap[row], c.Bools[row]))
			}
		}
		out.Columns = append(out.Columns, w)
	}
	return out
}

func unless[T any](gap bool, v T) (none T) {
	if gap {
		return none
	}
	return v
}

// faulty tells, in other words than the code's, whether a request cannot be sent. What feed builds has no other faults.
func faulty(inputs []azureml.Table, parameters map[string]any) bool {
	for _, in := range inputs {
		names := map[string]bool{}
		for _, c := range in.Columns {
			gaps := map[uint32]bool{}
			for _, row := range c.Missing {
				gaps[row] = true
			}
			for row, f := range c.Doubles {
				if f-f != 0 && !gaps[uint32(row)] { // NaN and the infinities
					return true
				}
			}
			if names[c.Name] {
				return true
			}
			names[c.Name] = true
		}
	}
	for _, v := range parameters {
		if f, ok := v.(float64); ok && (f-f != 0 || f == math.Floor(f) && math.Abs(f) > 9007199254740992) {
			return true
		}
	}
	return false
}

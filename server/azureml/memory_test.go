package azureml_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// Tables own what they hold: the answer's bytes may be lent to another call as soon as it is parsed.
func TestTablesOwnTheirTexts(t *testing.T) {
	long := strings.Repeat("long ", 4000)
	body := []byte(`{"Results":{"output":{"type":"table","value":{"ColumnNames":["name","é"],"ColumnTypes":["String","Double"],"Values":[["plain","1"],["\u0065scaped","x"],["` + long + `","é"]]}}}}`)
	tables, err := azureml.ParseAnswer(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = '#'
	}
	want := table("output", 3, typed("String", texts("name", "plain", "escaped", long)), typed("Double", texts("é", "1", "x", "é")))
	if d := diff([]azureml.Table{want}, tables); d != "" {
		t.Errorf("with the answer overwritten (-want +got):\n%s", d)
	}
}

// Texts share pieces of memory; none runs into the next one, however they fill the pieces.
func TestTextsOfEveryLength(t *testing.T) {
	var want []string
	values := &bytes.Buffer{}
	for n := range 400 {
		want = append(want, strings.Repeat(string(rune('a'+n%26)), n*37%9000))
		fmt.Fprintf(values, ",[%q]", want[n])
	}
	wantTables(t, one("String", "["+values.String()[1:]+"]"), table("o", len(want), typed("String", texts("c", want...))))
}

// Vectors are made once, as long as the table: also for the second of two tables and for columns without a type.
func TestVectorsAreMadeOnce(t *testing.T) {
	rows := strings.Repeat(`[1.5,"x",true],`, 999) + `[2.5,"y",false]`
	body := `{"Results":{"a":{"value":{"ColumnNames":["d","s","b"],"ColumnTypes":["Double","String","Boolean"],"Values":[` + rows + `]}},` +
		`"b":{"value":{"ColumnNames":["d","s","b"],"Values":[` + rows + `]}}}}`
	tables, err := azureml.ParseAnswer([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range tables {
		if d, s, b := cap(in.Columns[0].Doubles), cap(in.Columns[1].Strings), cap(in.Columns[2].Bools); in.Rows != 1000 || d != 1000 || s != 1000 || b != 1000 {
			t.Errorf("table %s of %d rows has room for %d doubles, %d texts, %d truth values", in.Name, in.Rows, d, s, b)
		}
	}
}

// What an answer makes the parser allocate is bounded by the answer's length, whatever it lets expect.
func TestMemoryIsBounded(t *testing.T) {
	small := func(name, values string) string {
		return `"` + name + `":{"value":{"ColumnNames":["c"],"ColumnTypes":["Double"],"Values":` + values + `}}`
	}
	var many []string
	for n := range 5000 {
		many = append(many, small(fmt.Sprint("o", n), `[[1] ]`))
	}
	for name, body := range map[string]string{
		"many small tables":    `{"Results":{` + strings.Join(many, ",") + `}}`,
		"brackets in texts":    `{"Results":{` + small("o", `[[1] ]`) + `},"x":"` + strings.Repeat("[", 500_000) + `"}`,
		"a wide row":           `{"Results":{"o":{"value":{"ColumnNames":[""` + strings.Repeat(`,""`, 9_999) + `],"Values":[[1` + strings.Repeat(",1", 9_999) + `] ]}}},"x":"` + strings.Repeat("[", 500_000) + `"}`,
		"brackets in its rows": string(one("String", `[["`+strings.Repeat("[", 500_000)+`"]]`)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := azureml.ParseAnswer([]byte(body)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := int(after.TotalAlloc - before.TotalAlloc); n > 32*len(body) {
			t.Errorf("%s: %d bytes allocated for an answer of %d", name, n, len(body))
		}
	}
}

package azureml_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// workload is a request, and an answer with the same cells.
type workload struct {
	name   string
	inputs []azureml.Table
	answer []byte
}

// kinds are what columns hold: doubles as people write them and as models compute them, the other vectors, and the texts
// that classic writes for a double, a truth value and an integer.
var kinds = map[string]func(*rand.Rand) cellOf{
	"short":    func(r *rand.Rand) cellOf { return double(float64(r.IntN(20_000_000)-10_000_000) / 10_000) },
	"17digits": func(r *rand.Rand) cellOf { return double(r.Float64()) },
	"int64":    func(r *rand.Rand) cellOf { return whole(int64(r.IntN(2_000_000) - 1_000_000)) },
	"bool":     func(r *rand.Rand) cellOf { return truth(r.IntN(2) == 0) },
	"string":   func(r *rand.Rand) cellOf { return text("some text " + strconv.Itoa(r.IntN(10_000))) },
	"quoted": func(r *rand.Rand) cellOf {
		c := [...]cellOf{double(float64(r.IntN(20_000_000)-10_000_000) / 10_000), truth(r.IntN(2) == 0), whole(int64(r.IntN(100)))}[r.IntN(3)]
		if c.json == "true" || c.json == "false" {
			c.json = strings.ToUpper(c.json[:1]) + c.json[1:]
		}
		c.json = `"` + c.json + `"`
		return c
	},
}

// cellOf is a cell: how to put it into a column, the name of the column's type, and what an answer writes for it.
type cellOf struct {
	put        func(*azureml.Column)
	columnType string
	json       string
}

func double(f float64) cellOf {
	return cellOf{func(c *azureml.Column) { c.Vector, c.Doubles = azureml.Doubles, append(c.Doubles, f) }, "Double", strconv.FormatFloat(f, 'f', -1, 64)}
}

func whole(n int64) cellOf {
	return cellOf{func(c *azureml.Column) { c.Vector, c.Int64s = azureml.Int64s, append(c.Int64s, n) }, "Int64", strconv.FormatInt(n, 10)}
}

func truth(b bool) cellOf {
	return cellOf{func(c *azureml.Column) { c.Vector, c.Bools = azureml.Bools, append(c.Bools, b) }, "Boolean", strconv.FormatBool(b)}
}

func text(s string) cellOf {
	return cellOf{func(c *azureml.Column) { c.Vector, c.Strings = azureml.Strings, append(c.Strings, s) }, "String", strconv.Quote(s)}
}

// workloads are tables of two sizes and every kind, and one text as in the published example.
func workloads() []workload {
	list := []workload{{"1x1/text", []azureml.Table{table("input1", 1, texts("Col2", "This is a good day"))},
		[]byte(`{"Results":{"output1":{"type":"table","value":{"ColumnNames":["Col2"],"ColumnTypes":["String"],"Values":[["This is a good day"]]}}}}`)}}
	for _, size := range []struct{ rows, width int }{{100, 20}, {1000, 50}} {
		for _, kind := range []string{"short", "17digits", "int64", "bool", "string", "quoted"} {
			list = append(list, workload{name: fmt.Sprintf("%dx%d/%s", size.rows, size.width, kind)})
			list[len(list)-1].fill(size.rows, size.width, kind)
		}
	}
	return list
}

// fill builds the request and the answer. A column has one type: that of the first cell drawn for it.
func (w *workload) fill(rows, width int, kind string) {
	random := rand.New(rand.NewPCG(1, 2)) // the same cells in every run
	in := table("input1", rows, make([]azureml.Column, width)...)
	names, types, cells := make([]string, width), make([]string, width), make([][]string, rows)
	for i := range in.Columns {
		c := &in.Columns[i]
		c.Name = "column" + strconv.Itoa(i)
		names[i] = strconv.Quote(c.Name)
		for row := range rows {
			cell := kinds[kind](random)
			for row > 0 && strconv.Quote(cell.columnType) != types[i] {
				cell = kinds[kind](random)
			}
			types[i] = strconv.Quote(cell.columnType)
			cell.put(c)
			cells[row] = append(cells[row], cell.json)
		}
	}
	lines := make([]string, rows)
	for row := range cells {
		lines[row] = "[" + strings.Join(cells[row], ",") + "]"
	}
	w.inputs = []azureml.Table{in}
	w.answer = fmt.Appendf(nil, `{"Results":{"output1":{"type":"table","value":{"ColumnNames":[%s],"ColumnTypes":[%s],"Values":[%s]}}}}`,
		strings.Join(names, ","), strings.Join(types, ","), strings.Join(lines, ","))
}

// BenchmarkAppendRequest writes into a buffer that is lent, as the server does.
func BenchmarkAppendRequest(b *testing.B) {
	for _, w := range workloads() {
		if strings.HasSuffix(w.name, "/quoted") {
			continue // requests have no such cells
		}
		b.Run(w.name, func(b *testing.B) {
			body, err := azureml.AppendRequest(nil, w.inputs, nil, noLimit)
			if err != nil {
				b.Fatal(err)
			}
			lent := make([]byte, 0, 2*len(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := azureml.AppendRequest(lent, w.inputs, nil, noLimit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseAnswer(b *testing.B) {
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			b.SetBytes(int64(len(w.answer)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := azureml.ParseAnswer(w.answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

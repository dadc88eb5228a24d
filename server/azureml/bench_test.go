package azureml_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// workload is a request, and an answer with the same cells.
type workload struct {
	name   string
	inputs []azureml.Table
	answer []byte
}

// workloads are one text, as in the published example, and tables of three sizes and three kinds: short decimals as
// people write them, doubles of 17 digits as models compute them, and classic's quoted cells.
func workloads(b *testing.B) []workload {
	b.Helper()
	list := []workload{{"1x1/text", []azureml.Table{table("input1", 1, texts("Col2", "This is a good day"))},
		[]byte(`{"Results":{"output1":{"type":"table","value":{"ColumnNames":["Col2"],"ColumnTypes":["String"],"Values":[["This is a good day"]]}}}}`)}}
	for _, size := range []struct{ rows, width int }{{100, 20}, {1000, 50}} {
		for _, kind := range []string{"short", "17digits", "quoted"} {
			list = append(list, numbers(b, size.rows, size.width, kind))
		}
	}
	return list
}

// numbers builds a table of doubles, or of the texts that classic writes for them.
func numbers(b *testing.B, rows, width int, kind string) workload {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2)) // the same numbers in every run
	in := table("input1", rows)
	types, values := make([]string, width), make([][]any, rows)
	for i := range width {
		c := azureml.Column{Name: "column" + strconv.Itoa(i), Vector: azureml.Doubles}
		if kind == "quoted" {
			c.Vector = azureml.Strings
		}
		for row := range rows {
			f := random.NormFloat64() * 100
			if kind == "short" {
				f = float64(random.IntN(100_000)) / 100
			}
			text := strconv.FormatFloat(f, 'g', 15, 64)
			if kind == "quoted" {
				c.Strings = append(c.Strings, text)
				values[row] = append(values[row], text)
			} else {
				c.Doubles = append(c.Doubles, f)
				values[row] = append(values[row], f)
			}
		}
		in.Columns = append(in.Columns, c)
		types[i] = "Double"
	}
	names := make([]string, width)
	for i := range names {
		names[i] = in.Columns[i].Name
	}
	answer, err := json.Marshal(map[string]any{"Results": map[string]any{"output1": map[string]any{"type": "table",
		"value": map[string]any{"ColumnNames": names, "ColumnTypes": types, "Values": values}}}})
	if err != nil {
		b.Fatal(err)
	}
	return workload{fmt.Sprintf("%dx%d/%s", rows, width, kind), []azureml.Table{in}, answer}
}

func BenchmarkAppendRequest(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			body, err := azureml.AppendRequest(nil, w.inputs, nil, noLimit)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := azureml.AppendRequest(nil, w.inputs, nil, noLimit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseAnswer(b *testing.B) {
	for _, w := range workloads(b) {
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

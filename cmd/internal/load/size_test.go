package load

import (
	"encoding/json"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// TestSizes holds the sizes to what they are said to be, and the typed table to the JSON one.
func TestSizes(t *testing.T) {
	bytes := map[string]int{}
	for _, s := range Sizes {
		request, answer := s.Request(), s.Answer()
		bytes[s.Name] = len(request)
		var body struct {
			Inputs map[string]struct {
				ColumnNames []string
				Values      [][]any
			}
		}
		if err := json.Unmarshal(request, &body); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		rows, names := body.Inputs["input1"].Values, body.Inputs["input1"].ColumnNames
		typed := s.Tables().GetInputs()["input1"]
		if len(rows) != s.Rows || len(names) != s.Columns || int(typed.GetRowCount()) != s.Rows || len(typed.GetColumns()) != s.Columns {
			t.Fatalf("%s: %d rows of %d columns, typed %d of %d", s.Name, len(rows), len(names), typed.GetRowCount(), len(typed.GetColumns()))
		}
		for j, c := range typed.GetColumns() {
			for i := range rows {
				var cell any
				if s.Cells == Text {
					cell = c.GetStrings().GetValues()[i]
				} else {
					cell = c.GetDoubles().GetValues()[i]
				}
				if rows[i][j] != cell || c.GetName() != names[j] {
					t.Fatalf("%s: row %d, column %q is %v, typed %q %v", s.Name, i, names[j], rows[i][j], c.GetName(), cell)
				}
			}
		}
		tables, err := azureml.ParseAnswer(answer)
		if err != nil || len(tables) != 1 || tables[0].Rows != s.Rows || len(tables[0].Columns) != s.Columns {
			t.Fatalf("%s: the answer reads as %d tables, %v", s.Name, len(tables), err)
		}
		if want := map[bool]azureml.Vector{true: azureml.Strings, false: azureml.Doubles}[s.Cells == Text]; tables[0].Columns[0].Vector != want {
			t.Errorf("%s: the answer's columns are %v", s.Name, tables[0].Columns[0].Vector)
		}
	}
	for name, about := range map[string]int{"small": 133, "medium": 18_500, "large": 466_000, "large-full": 970_000, "large-classic": 466_000} {
		if got := bytes[name]; got < about*97/100 || got > about*103/100 {
			t.Errorf("%s: a request of %d bytes, want about %d", name, got, about)
		}
	}
	if string(Sizes[0].Request()) != `{"Inputs":{"input1":{"ColumnNames":["c0"],"Values":[["This product arrived on time and works as described"]]}},"GlobalParameters":{}}` {
		t.Errorf("small is %s", Sizes[0].Request())
	}
}

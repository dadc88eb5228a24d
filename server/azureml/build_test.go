package azureml_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amlgate/amlgate/server/azureml"
)

// noLimit is a limit that no request of these tests reaches.
const noLimit = 1 << 30

func doubles(name string, cells ...float64) azureml.Column {
	return azureml.Column{Name: name, Vector: azureml.Doubles, Doubles: cells}
}

func int64s(name string, cells ...int64) azureml.Column {
	return azureml.Column{Name: name, Vector: azureml.Int64s, Int64s: cells}
}

func texts(name string, cells ...string) azureml.Column {
	return azureml.Column{Name: name, Vector: azureml.Strings, Strings: cells}
}

func bools(name string, cells ...bool) azureml.Column {
	return azureml.Column{Name: name, Vector: azureml.Bools, Bools: cells}
}

// typed returns the column with AzureML's type.
func typed(columnType string, c azureml.Column) azureml.Column {
	c.Type = columnType
	return c
}

// missing returns the column with rows whose cell is missing.
func missing(c azureml.Column, rows ...uint32) azureml.Column {
	c.Missing = rows
	return c
}

func table(name string, rows int, columns ...azureml.Column) azureml.Table {
	return azureml.Table{Name: name, Rows: rows, Columns: columns}
}

// sameBits tells doubles apart that == does not, and finds a NaN equal to a NaN.
func sameBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// diff compares tables cell by cell and bit by bit; an empty list and none are the same.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Comparer(sameBits), cmpopts.EquateEmpty())
}

// wantText compares texts that are too alike for the eye.
func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n\t%q, want\n\t%q", what, got, want)
	}
}

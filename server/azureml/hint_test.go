package azureml_test

import (
	"math"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

// A buffer of the hinted size takes the request without growing, and most of it is needed.
func TestSizeHint(t *testing.T) {
	for _, w := range workloads() {
		if body := written(t, w.inputs); len(body) > 1000 && azureml.SizeHint(w.inputs) > len(body)*6/5 {
			t.Errorf("%s: the hint is %d, the request has %d bytes", w.name, azureml.SizeHint(w.inputs), len(body))
		}
	}
	written(t, nil)
	written(t, []azureml.Table{table("no columns", 1000), table("no rows", 0, doubles("d"), int64s("i"), texts("s"), bools("b"))})
	written(t, []azureml.Table{table("i", 0, int64s("i", math.MinInt64, math.MaxInt64, -1), texts("s", "", strings.Repeat("x", 100_000), "y"))})
	written(t, []azureml.Table{table("i", 0, missing(doubles("d", math.NaN(), math.Inf(1)), 0, 1))})
}

// written writes a request into a buffer of the hinted size.
func written(t *testing.T, inputs []azureml.Table) []byte {
	t.Helper()
	lent := make([]byte, 0, azureml.SizeHint(inputs))
	body, err := azureml.AppendRequest(lent, inputs, nil, noLimit)
	if err != nil {
		t.Fatal(err)
	}
	if &body[0] != &lent[:1][0] {
		t.Errorf("%d bytes did not fit into the %d of the hint", len(body), cap(lent))
	}
	return body
}

package azureml

import "strconv"

// SizeHint returns about how many bytes AppendRequest needs for inputs, without global parameters. It looks at the length
// of every text and at a few numbers of every column, and mostly says a few percent too much, so that a buffer of that
// capacity does not grow. Escapes and columns whose numbers are of very different lengths can make it too small.
func SizeHint(inputs []Table) int {
	size := len(`{"Inputs":{},"GlobalParameters":{}}`) + maxNumber + 1 // for what is touched behind the last number
	for i := range inputs {
		t := &inputs[i]
		size += len(`"":{"ColumnNames":[],"Values":[]},`) + len(t.Name)
		rows := t.Rows
		for k := range t.Columns {
			c := &t.Columns[k]
			rows = c.len()
			size += len(c.Name) + len(`"",`) + c.sizeHint()
		}
		size += rows * len("[],")
	}
	return size
}

// sizeHint returns about how many bytes a column's cells take, commas included.
func (c *Column) sizeHint() int {
	rows := c.len()
	var p [maxNumber]byte
	size, looked := 0, 0
	step := max(1, rows/4)
	switch c.Vector {
	case Doubles:
		for row := step / 2; row < rows; row += step {
			if f := c.Doubles[row]; f-f == 0 {
				size += printDouble(&p, f)
			}
			looked++
		}
	case Int64s:
		for row := step / 2; row < rows; row += step {
			size += len(strconv.AppendInt(p[:0], c.Int64s[row], 10))
			looked++
		}
	case Strings:
		for _, s := range c.Strings {
			size += len(s)
		}
		return size + rows*len(`"",`)
	case Bools:
		return rows * len("false,")
	}
	if looked == 0 {
		return 0
	}
	return rows*len(",") + size*rows/looked + size*rows/looked/16
}

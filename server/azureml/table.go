package azureml

// Table is scoring data by columns, where AzureML's JSON has it by rows.
type Table struct {
	// Name is the input's or output's, for example "input1".
	Name string

	// Columns in AzureML's order.
	Columns []Column

	// Rows is the number of rows. On requests with columns 0 means their length.
	Rows int
}

// Column is one column: a name and a vector with one entry a row.
type Column struct {
	Name string

	// Type is AzureML's, as answered, for example "Int32"; empty where the answer tells none. Ignored on requests.
	Type string

	// Vector says which of the vectors below holds the cells.
	Vector  Vector
	Doubles []float64
	Int64s  []int64
	Strings []string
	Bools   []bool

	// Missing lists the rows whose cell is missing, from 0, strictly ascending. Their entries in the vector mean nothing.
	Missing []uint32
}

// Vector names the type of a column's cells.
type Vector uint8

// The vectors. NoVector is a request's mistake.
const (
	NoVector Vector = iota
	Doubles
	Int64s
	Strings
	Bools
)

// len returns how many cells the column has.
func (c *Column) len() int {
	switch c.Vector {
	case Doubles:
		return len(c.Doubles)
	case Int64s:
		return len(c.Int64s)
	case Strings:
		return len(c.Strings)
	case Bools:
		return len(c.Bools)
	}
	return 0
}

// vectorOf returns the vector for one of AzureML's column types, as the contract in table.proto promises it. The types
// are .NET's; "Numeric" stands in Microsoft's help pages. Dates are texts that nobody here parses.
func vectorOf(columnType string) Vector {
	switch columnType {
	case "Double", "Single", "Numeric":
		return Doubles
	case "Byte", "Int16", "Int32", "Int64":
		return Int64s
	case "Boolean":
		return Bools
	}
	return Strings
}

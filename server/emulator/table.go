package emulator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// columnType is the type of a column, named as in AzureML's ColumnTypes. String,
// Int32 and Double were seen in captured answers; Boolean is what the Python
// client expects.
type columnType string

const (
	typeString  columnType = "String"
	typeInt32   columnType = "Int32"
	typeDouble  columnType = "Double"
	typeBoolean columnType = "Boolean"
)

// column describes one column of a port, or one global parameter.
type column struct {
	name        string
	typ         columnType
	description string
	categories  []string // the values a String may have; none means any
	min, max    float64  // the range of a number, both ends included; both 0 means any
	sample      string   // a value for the example in swagger.json, as JSON; inputs and parameters only
	present     bool     // an answer never lacks the cell
}

// vector holds the cells of one column: texts of a String, otherwise numbers,
// in which every Int32 is exact and true is 1.
type vector struct {
	texts   []string
	numbers []float64
	missing []bool // nil if no cell is missing
}

func (v *vector) isMissing(row int) bool { return v.missing != nil && v.missing[row] }

// table is rows of cells, stored by column, parallel to the columns of a port.
type table struct {
	rows    int
	vectors []vector
}

// add appends a cell of a request to v. Its error says what is wrong with the
// cell, to be put behind the row and the column.
func (c *column) add(v *vector, cell literal) error {
	missing := cell.kind == kindNull
	v.missing = append(v.missing, missing)
	if c.typ == typeString {
		text, ok := cell.toText()
		if !ok {
			return fmt.Errorf("%s is not a String", cell.show())
		}
		if !missing && c.categories != nil && !slices.Contains(c.categories, text) {
			return fmt.Errorf("%s is not one of %s", cell.show(), strings.Join(c.categories, ", "))
		}
		v.texts = append(v.texts, text)
		return nil
	}
	number, ok := 0.0, missing
	if !missing {
		number, ok = c.typ.parse(cell)
	}
	switch {
	case !ok && c.typ == typeInt32:
		return fmt.Errorf("%s is not an Int32", cell.show())
	case !ok:
		return fmt.Errorf("%s is not a %s", cell.show(), c.typ)
	case !missing && c.min != c.max && !(number >= c.min && number <= c.max): // so written, NaN is outside
		return fmt.Errorf("%s is not within %v to %v", cell.show(), c.min, c.max)
	}
	v.numbers = append(v.numbers, number)
	return nil
}

// toText reads a cell as text. Numbers keep the spelling they came in and
// booleans get .NET's; a missing text is "".
func (l literal) toText() (string, bool) {
	switch l.kind {
	case kindTrue:
		return "True", true
	case kindFalse:
		return "False", true
	}
	return l.text, l.kind != kindObject && l.kind != kindArray
}

// parse reads a cell that is not null as a number of type t. Clients write
// numbers bare or quoted; blanks around them are ignored, as .NET does. An
// empty text is no number: no source says that it meant a missing one.
func (t columnType) parse(l literal) (float64, bool) {
	text := strings.TrimFunc(l.text, isBlank)
	switch {
	case l.kind == kindObject || l.kind == kindArray:
		return 0, false
	case t == typeBoolean:
		return parseBoolean(l.kind, text)
	case l.kind == kindTrue || l.kind == kindFalse:
		return 0, false
	}
	number, ok := parseDouble(text)
	if t == typeInt32 {
		// 61.0 is taken: R and pandas write whole numbers so.
		ok = ok && number == math.Trunc(number) && number >= math.MinInt32 && number <= math.MaxInt32
	}
	return number, ok
}

// parseBoolean also takes 1 and 0, which is how many clients write flags.
func parseBoolean(kind byte, text string) (float64, bool) {
	switch {
	case kind == kindTrue, text == "1", strings.EqualFold(text, "true"):
		return 1, true
	case kind == kindFalse, text == "0", strings.EqualFold(text, "false"):
		return 0, true
	}
	return 0, false
}

// parseDouble takes .NET's names of the special values. The other spellings
// that strconv knows, such as hexadecimal, are refused.
func parseDouble(text string) (float64, bool) {
	switch text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if strings.Trim(text, "+-.0123456789Ee") != "" {
		return 0, false
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil
}

// appendCell writes a cell as it stands in an answer: a JSON string, whatever
// the column's type, or null if it is missing.
func (t columnType) appendCell(out []byte, v *vector, row int) []byte {
	switch {
	case v.isMissing(row):
		return append(out, "null"...)
	case t == typeString:
		return appendQuoted(out, v.texts[row])
	}
	return append(t.appendNumber(append(out, '"'), v.numbers[row]), '"')
}

// appendNumber writes what a cell of any type but String says.
func (t columnType) appendNumber(out []byte, number float64) []byte {
	switch {
	case t == typeInt32:
		return strconv.AppendInt(out, int64(number), 10)
	case t == typeDouble:
		return appendDouble(out, number)
	case number != 0:
		return append(out, "True"...)
	}
	return append(out, "False"...)
}

// appendDouble writes a number as .NET Framework's Double.ToString() did in
// en-US: 15 significant digits, an exponent from 1E+15 up and below 0.0001, no
// sign on zero. So 0.1 is "0.1", 65 is "65", 0.00001 is "1E-05".
func appendDouble(out []byte, number float64) []byte {
	switch {
	case math.IsInf(number, 1):
		return append(out, "Infinity"...)
	case math.IsInf(number, -1):
		return append(out, "-Infinity"...)
	case number == 0:
		return append(out, '0')
	}
	return strconv.AppendFloat(out, number, 'G', 15, 64)
}

// appendQuoted writes text, which is valid UTF-8, as a JSON string.
func appendQuoted(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	done := 0
	for i := range len(text) {
		b := text[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		out = append(out, text[done:i]...)
		if b < ' ' {
			out = append(out, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		} else {
			out = append(out, '\\', b)
		}
		done = i + 1
	}
	out = append(out, text[done:]...)
	return append(out, '"')
}

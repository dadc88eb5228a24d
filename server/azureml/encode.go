package azureml

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxExact is the largest number up to which every integer is a double: 2^53.
const maxExact = 1 << 53

// InputError is a fault in typed input. Field is a path such as `inputs["input1"].columns[2].missing[0]`.
type InputError struct {
	Field  string
	Reason string
}

// Error names the field and what is allowed in it.
func (e *InputError) Error() string { return e.Field + ": " + e.Reason }

// SizeError says that the JSON of a request would be larger than Limit bytes.
type SizeError struct{ Limit int }

// Error names the limit.
func (e *SizeError) Error() string {
	return fmt.Sprintf("the request's JSON is larger than %d bytes", e.Limit)
}

// AppendRequest appends the body of a scoring call to dst: the inputs in the order given, in column form, then the
// global parameters by name. Parameters hold what JSON holds: nil, bool, float64, string, []any, map[string]any.
// It stops as soon as the body passes limit bytes. Errors are *InputError or *SizeError; dst comes back with them.
func AppendRequest(dst []byte, inputs []Table, parameters map[string]any, limit int) ([]byte, error) {
	e := encoder{buf: dst, start: len(dst), limit: limit}
	e.text(`{"Inputs":{`)
	for i := range inputs {
		if i > 0 {
			e.text(",")
		}
		if err := e.table(&inputs[i]); err != nil {
			return dst, err
		}
	}
	e.text(`},"GlobalParameters":`)
	if err := e.object("global_parameters", parameters, 0); err != nil {
		return dst, err
	}
	e.text("}")
	if err := e.checkSize(); err != nil {
		return dst, err
	}
	return e.buf, nil
}

type encoder struct {
	buf   []byte
	start int
	limit int
}

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) checkSize() error {
	if len(e.buf)-e.start > e.limit {
		return &SizeError{e.limit}
	}
	return nil
}

func (e *encoder) table(t *Table) error {
	path := fmt.Sprintf("inputs[%q]", t.Name)
	rows, err := checkTable(path, t)
	if err != nil {
		return err
	}
	e.buf = appendQuoted(e.buf, t.Name)
	e.text(`:{"ColumnNames":[`)
	for i := range t.Columns {
		if i > 0 {
			e.text(",")
		}
		e.buf = appendQuoted(e.buf, t.Columns[i].Name)
	}
	e.text(`],"Values":[`)
	missing := make([]int, len(t.Columns)) // by column: the next entry of Missing
	for row := range rows {
		if row > 0 {
			e.text(",")
		}
		e.text("[")
		for i := range t.Columns {
			if i > 0 {
				e.text(",")
			}
			c := &t.Columns[i]
			if m := missing[i]; m < len(c.Missing) && int(c.Missing[m]) == row {
				missing[i]++
				e.text("null")
				continue
			}
			if !e.cell(c, row) {
				return &InputError{fmt.Sprintf("%s.columns[%d]", path, i),
					fmt.Sprintf("row %d of column %q is %v; only finite numbers can be sent, list the row in missing instead", row, c.Name, c.Doubles[row])}
			}
		}
		e.text("]")
		if err := e.checkSize(); err != nil {
			return err
		}
	}
	e.text("]}")
	return e.checkSize()
}

// cell appends one cell; it reports false for a number that JSON cannot hold.
func (e *encoder) cell(c *Column, row int) bool {
	switch c.Vector {
	case Doubles:
		f := c.Doubles[row]
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
		e.buf = appendDouble(e.buf, f)
	case Int64s:
		n := c.Int64s[row]
		if n > maxExact || n < -maxExact {
			// A reader that parses numbers as doubles would change it.
			e.text(`"`)
			e.buf = strconv.AppendInt(e.buf, n, 10)
			e.text(`"`)
		} else {
			e.buf = strconv.AppendInt(e.buf, n, 10)
		}
	case Strings:
		e.buf = appendQuoted(e.buf, c.Strings[row])
	case Bools:
		e.buf = strconv.AppendBool(e.buf, c.Bools[row])
	}
	return true
}

// checkTable returns the number of rows of a table that can be sent.
func checkTable(path string, t *Table) (int, error) {
	if len(t.Columns) == 0 {
		return t.Rows, nil
	}
	rows := t.Columns[0].len()
	seen := make(map[string]int, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		at := fmt.Sprintf("%s.columns[%d]", path, i)
		if c.Vector == NoVector {
			return 0, &InputError{at + ".values", fmt.Sprintf("column %q has no vector; one of doubles, int64s, strings, bools is needed", c.Name)}
		}
		if n := c.len(); n != rows {
			return 0, &InputError{at + ".values", fmt.Sprintf("column %q has %d cells, column %q has %d; all columns of a table have the same length", c.Name, n, t.Columns[0].Name, rows)}
		}
		if first, ok := seen[c.Name]; ok {
			return 0, &InputError{at + ".name", fmt.Sprintf("column name %q is that of columns[%d] too; names in a request are unique", c.Name, first)}
		}
		seen[c.Name] = i
		for m, row := range c.Missing {
			if int64(row) >= int64(rows) {
				return 0, &InputError{fmt.Sprintf("%s.missing[%d]", at, m), fmt.Sprintf("row %d of column %q does not exist; the table has %d rows, counted from 0", row, c.Name, rows)}
			}
			if m > 0 && row <= c.Missing[m-1] {
				return 0, &InputError{fmt.Sprintf("%s.missing[%d]", at, m), fmt.Sprintf("row %d of column %q comes after row %d; rows are listed once, in ascending order", row, c.Name, c.Missing[m-1])}
			}
		}
	}
	if t.Rows != 0 && t.Rows != rows {
		return 0, &InputError{path + ".row_count", fmt.Sprintf("%d, but the columns have %d rows; leave it out or make it equal", t.Rows, rows)}
	}
	return rows, nil
}

// maxParameterDepth bounds nested global parameters, as deep as Protobuf's own limit on nested messages.
const maxParameterDepth = 100

func (e *encoder) object(path string, members map[string]any, depth int) error {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	e.text("{")
	for i, name := range names {
		if i > 0 {
			e.text(",")
		}
		e.buf = appendQuoted(e.buf, name)
		e.text(":")
		if err := e.value(fmt.Sprintf("%s[%q]", path, name), members[name], depth+1); err != nil {
			return err
		}
	}
	e.text("}")
	return nil
}

// value appends a global parameter.
func (e *encoder) value(path string, v any, depth int) error {
	if depth > maxParameterDepth {
		return &InputError{path, fmt.Sprintf("nested more than %d deep", maxParameterDepth)}
	}
	if err := e.checkSize(); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		e.text("null")
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case string:
		e.buf = appendQuoted(e.buf, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return &InputError{path, fmt.Sprintf("%v is no JSON number; only finite numbers can be sent", v)}
		}
		if math.Trunc(v) == v && math.Abs(v) > maxExact {
			return &InputError{path, "an integer beyond 2^53 does not survive as a number; send it as a string"}
		}
		e.buf = appendDouble(e.buf, v)
	case []any:
		e.text("[")
		for i, item := range v {
			if i > 0 {
				e.text(",")
			}
			if err := e.value(fmt.Sprintf("%s[%d]", path, i), item, depth+1); err != nil {
				return err
			}
		}
		e.text("]")
	case map[string]any:
		return e.object(path, v, depth)
	default:
		return &InputError{path, fmt.Sprintf("a %T is no JSON value", v)}
	}
	return nil
}

// appendDouble appends the shortest decimal that reads back as f, in the notation that JSON writers agree on: plain
// within [1e-6, 1e21), with an exponent outside.
func appendDouble(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-3] == '-' && dst[n-2] == '0' {
		// strconv writes at least two digits of an exponent.
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON text. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if b >= utf8.RuneSelf {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, `\u00`...)
				dst = append(dst, hexDigits[b>>4], hexDigits[b&0xf])
			}
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

package azureml

import (
	"encoding/binary"
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
	path := inputPath(t)
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
	if err := e.rows(t, rows); err != nil {
		return err
	}
	e.text("]}")
	return e.checkSize()
}

func inputPath(t *Table) string { return "inputs[" + strconv.Quote(t.Name) + "]" }

// rows appends the rows of a table that was checked.
func (e *encoder) rows(t *Table, rows int) error {
	gaps := newGaps(t.Columns)
	for row := range rows {
		if row > 0 {
			e.text(",")
		}
		e.text("[")
		if i := e.row(t.Columns, gaps, row); i >= 0 {
			c := &t.Columns[i]
			return &InputError{fmt.Sprintf("%s.columns[%d]", inputPath(t), i),
				fmt.Sprintf("row %d of column %q is %v; only finite numbers can be sent, list the row in missing instead", row, c.Name, c.Doubles[row])}
		}
		e.text("]")
		if err := e.checkSize(); err != nil {
			return err
		}
	}
	return nil
}

// row appends the cells of a row. It returns the column of a number that JSON cannot hold, or -1.
func (e *encoder) row(columns []Column, gaps []gap, row int) int {
	b := e.buf
	for i := range columns {
		c := &columns[i]
		if cap(b)-len(b) < maxNumber+1 {
			b = slices.Grow(b, maxNumber+1)
		}
		vector := c.Vector
		if gaps[i].row == row {
			gaps[i].pass()
			vector = NoVector
		}
		switch vector {
		case Doubles:
			f := c.Doubles[row]
			if f-f != 0 { // NaN and the infinities
				return i
			}
			n := len(b)
			b = b[:n+printDouble((*[maxNumber]byte)(b[n:n+maxNumber]), f)]
		case Int64s:
			if n := c.Int64s[row]; n > maxExact || n < -maxExact {
				// A reader that parses numbers as doubles would change it.
				b = append(b, '"')
				b = strconv.AppendInt(b, n, 10)
				b = append(b, '"')
			} else {
				at := len(b)
				b = b[:at+printInt((*[maxNumber]byte)(b[at:at+maxNumber]), n)]
			}
		case Strings:
			b = appendQuoted(b, c.Strings[row])
		case Bools:
			b = strconv.AppendBool(b, c.Bools[row])
		default:
			b = append(b, "null"...)
		}
		b = append(b, ',')
	}
	if len(columns) > 0 {
		b = b[:len(b)-1] // the last comma
	}
	e.buf = b
	return -1
}

// gap is the next missing row of a column, and the ones behind it.
type gap struct {
	row  int // -1 behind the last
	rest []uint32
}

func newGaps(columns []Column) []gap {
	gaps := make([]gap, len(columns))
	for i := range columns {
		gaps[i].rest = columns[i].Missing
		gaps[i].pass()
	}
	return gaps
}

func (g *gap) pass() {
	if g.row = -1; len(g.rest) > 0 {
		g.row, g.rest = int(g.rest[0]), g.rest[1:]
	}
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
		at := func() string { return fmt.Sprintf("%s.columns[%d]", path, i) }
		if c.Vector == NoVector {
			return 0, &InputError{at() + ".values", fmt.Sprintf("column %q has no vector; one of doubles, int64s, strings, bools is needed", c.Name)}
		}
		if n := c.len(); n != rows {
			return 0, &InputError{at() + ".values", fmt.Sprintf("column %q has %d cells, column %q has %d; all columns of a table have the same length", c.Name, n, t.Columns[0].Name, rows)}
		}
		if first, ok := seen[c.Name]; ok {
			return 0, &InputError{at() + ".name", fmt.Sprintf("column name %q is that of columns[%d] too; names in a request are unique", c.Name, first)}
		}
		seen[c.Name] = i
		for m, row := range c.Missing {
			if int64(row) >= int64(rows) {
				return 0, &InputError{fmt.Sprintf("%s.missing[%d]", at(), m), fmt.Sprintf("row %d of column %q does not exist; the table has %d rows, counted from 0", row, c.Name, rows)}
			}
			if m > 0 && row <= c.Missing[m-1] {
				return 0, &InputError{fmt.Sprintf("%s.missing[%d]", at(), m), fmt.Sprintf("row %d of column %q comes after row %d; rows are listed once, in ascending order", row, c.Name, c.Missing[m-1])}
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

// appendDouble appends f, a finite number, as printDouble writes it.
func appendDouble(dst []byte, f float64) []byte {
	dst = slices.Grow(dst, maxNumber)
	return dst[:len(dst)+printDouble((*[maxNumber]byte)(dst[len(dst):len(dst)+maxNumber]), f)]
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON text. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := len(dst)
	dst = append(dst, s...)
	if !plain(dst[start:]) {
		dst = appendEscaped(dst[:start], s)
	}
	return append(dst, '"')
}

// plain reports whether b is a JSON text as it stands, and ASCII.
func plain(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if w := binary.LittleEndian.Uint64(b); special(w)|w&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendEscaped appends what stands between the quotes.
func appendEscaped(dst []byte, s string) []byte {
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
	return append(dst, s[from:]...)
}

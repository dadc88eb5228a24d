package azureml

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// NotTableError says that an answer is JSON of AzureML's but holds no table. Output is empty where the whole answer is
// none.
type NotTableError struct {
	Output string
	Reason string
}

// Error names the output and what it is instead.
func (e *NotTableError) Error() string {
	if e.Output == "" {
		return "the answer is no table: " + e.Reason
	}
	return fmt.Sprintf("output %q is no table: %s", e.Output, e.Reason)
}

// ParseAnswer reads the answer to a scoring call that asked for details, {"Results":{NAME:{"type":"table","value":
// {"ColumnNames":[],"ColumnTypes":[],"Values":[[]]}}}}, into tables in the answer's order. The members of value come in
// any order; a member that comes twice counts as its last.
//
// Columns are typed by ColumnTypes. Nothing is lost: a column with one cell that does not fit its type comes whole as
// texts, in the answer's own characters. Without ColumnTypes, as today's endpoints answer, a column of JSON numbers is
// doubles, one of truth values bools, and any other strings.
//
// Errors are *SyntaxError and *NotTableError.
func ParseAnswer(body []byte) ([]Table, error) {
	s := &scanner{b: body}
	if bytes.HasPrefix(body, utf8BOM) {
		s.i = len(utf8BOM)
	}
	var outputs []output
	found := false
	err := s.members(func(name string) error {
		if name != "Results" {
			_, err := s.skip()
			return err
		}
		found, outputs = s.peek() == '{', nil
		return s.members(func(name string) error {
			o, err := s.output(name)
			for i := range outputs {
				if outputs[i].Name == name {
					outputs[i] = o
					return err
				}
			}
			outputs = append(outputs, o)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if s.peek() != 0 || s.i < len(s.b) {
		return nil, s.fail("the end")
	}
	if !found {
		return nil, &NotTableError{Reason: `it has no "Results"`}
	}
	tables := make([]Table, len(outputs))
	for i, o := range outputs {
		if o.wrong != nil {
			return nil, o.wrong
		}
		tables[i] = o.Table
	}
	return tables, nil
}

// output is an output being read. What is wrong with it is told after the whole answer was found to be JSON, and unless
// the output comes again.
type output struct {
	Table
	wrong error
}

// members is object for a value that may be something else, which it skips.
func (s *scanner) members(member func(name string) error) error {
	if s.peek() == '{' {
		return s.object(member)
	}
	_, err := s.skip()
	return err
}

// output reads one output's {"type":"table","value":{...}}.
func (s *scanner) output(name string) (output, error) {
	o := output{Table: Table{Name: name}, wrong: &NotTableError{name, `it has no "value"`}}
	if s.peek() != '{' {
		o.wrong = &NotTableError{name, "it is a list of rows or a single value"}
	}
	err := s.members(func(member string) (err error) {
		switch {
		case member != "value":
			_, err = s.skip()
		case s.peek() != '{':
			o.wrong = &NotTableError{name, `its "value" is no object`}
			_, err = s.skip()
		default:
			o.wrong, err = s.table(&o.Table)
		}
		return err
	})
	return o, err
}

// table reads the value of a table; wrong says why it is none.
func (s *scanner) table(t *Table) (wrong, err error) {
	var names, types []string
	var oddName, oddType bool
	values := -1
	err = s.object(func(member string) (err error) {
		switch member {
		case "ColumnNames":
			names, oddName, err = s.texts()
		case "ColumnTypes":
			types, oddType, err = s.texts()
		case "Values":
			// Read when names and types are known, which may come later.
			if values = -1; s.peek() == '[' {
				values = s.i
			}
			_, err = s.skip()
		default:
			_, err = s.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case oddName || oddType:
		return &NotTableError{t.Name, "a column's name or type is no text"}, nil
	case values < 0:
		return &NotTableError{t.Name, `it has no "Values"`}, nil
	}
	rows := &scanner{b: s.b, i: values}
	return rows.values(t, names, types), nil
}

// values reads the rows into columns. Rows and cells were skipped once, so their syntax is known to be right.
func (s *scanner) values(t *Table, names, types []string) error {
	width := len(names)
	switch {
	case names == nil && types == nil:
		width = s.firstWidth()
	case names == nil:
		width = len(types)
	}
	if types != nil && len(types) != width {
		return &NotTableError{t.Name, fmt.Sprintf("it has %d ColumnTypes for %d columns", len(types), width)}
	}
	columns := make([]column, width)
	for i := range columns {
		if names != nil {
			columns[i].Name = names[i]
		}
		if types != nil {
			columns[i].Type = types[i]
			columns[i].Vector = vectorOf(types[i])
		}
	}
	start := s.i
	again, err := s.rows(t, columns)
	if err == nil && again {
		// Some column has a cell that its type does not hold: read those columns once more, as texts.
		s.i = start
		_, err = s.rows(t, columns)
	}
	if err != nil {
		return err
	}
	t.Columns = make([]Column, width)
	for i := range columns {
		t.Columns[i] = columns[i].finish(t.Rows)
	}
	return nil
}

// firstWidth counts the cells of the first row, for answers without names.
func (s *scanner) firstWidth() int {
	probe, width := &scanner{b: s.b, i: s.i + 1}, 0
	if probe.peek() == '[' {
		_ = probe.array(func(n int) error {
			width = n + 1
			_, err := probe.skip()
			return err
		})
	}
	return width
}

// rows reads all rows into the columns that are not done. It reports whether a column must be read again.
func (s *scanner) rows(t *Table, columns []column) (again bool, err error) {
	t.Rows = 0
	err = s.array(func(row int) error {
		if s.peek() != '[' {
			return &NotTableError{t.Name, fmt.Sprintf("row %d is no list of cells", row)}
		}
		width := 0
		err := s.array(func(i int) error {
			width++
			if i >= len(columns) {
				_, err := s.skip()
				return err
			}
			return columns[i].read(s, row)
		})
		if err == nil && width != len(columns) {
			err = &NotTableError{t.Name, fmt.Sprintf("row %d has %d cells for %d columns", row, width, len(columns))}
		}
		t.Rows = row + 1
		return err
	})
	for i := range columns {
		c := &columns[i]
		c.done = !c.misfit
		if c.misfit {
			*c = column{Column: Column{Name: c.Name, Type: c.Type, Vector: Strings}}
			again = true
		}
	}
	return again, err
}

// column is a Column being read.
type column struct {
	Column
	misfit bool // a cell did not fit; what was read is void
	done   bool // read to the end
}

// read reads the next cell of the scanner into the column.
func (c *column) read(s *scanner, row int) error {
	if c.done || c.misfit {
		_, err := s.skip()
		return err
	}
	first := s.peek()
	if first == 'n' {
		c.Missing = append(c.Missing, uint32(row))
		c.missing()
		_, err := s.word()
		return err
	}
	if c.Vector == NoVector {
		c.Vector = guess(first)
		for range row { // nothing but missing cells so far
			c.missing()
		}
	}
	if first == '"' {
		raw, escaped, err := s.quoted()
		if err == nil {
			c.text(raw, escaped)
		}
		return err
	}
	raw, err := s.skip()
	if err == nil {
		c.bare(raw, first)
	}
	return err
}

// guess returns the vector for a column without a declared type by its first cell.
func guess(first byte) Vector {
	switch {
	case first == '-' || first-'0' <= 9:
		return Doubles
	case first == 't' || first == 'f':
		return Bools
	}
	return Strings
}

// missing appends the entry of a missing cell.
func (c *column) missing() {
	switch c.Vector {
	case Doubles:
		c.Doubles = append(c.Doubles, 0)
	case Int64s:
		c.Int64s = append(c.Int64s, 0)
	case Bools:
		c.Bools = append(c.Bools, false)
	case Strings:
		c.Strings = append(c.Strings, "")
	}
}

// text appends a quoted cell. Classic services quote every cell, whatever its type. A text where no type is declared is
// a text.
func (c *column) text(raw []byte, escaped bool) {
	if escaped && c.Vector != Strings {
		raw = []byte(unquote(raw, escaped)) // today's .NET writes the plus sign as \u002B
	}
	switch {
	case c.Vector == Strings:
		c.Strings = append(c.Strings, unquote(raw, escaped))
	case c.Type == "":
		c.misfit = true
	case c.Vector == Bools:
		c.bool(string(raw) == "True" || string(raw) == "true", string(raw) == "False" || string(raw) == "false")
	case c.Vector == Int64s:
		c.int(raw)
	default:
		c.double(raw)
	}
}

// bare appends a cell without quotes: a number, a truth value or something nested.
func (c *column) bare(raw []byte, first byte) {
	numeric := first == '-' || first-'0' <= 9
	switch {
	case c.Vector == Strings:
		c.Strings = append(c.Strings, strings.ToValidUTF8(string(raw), "\uFFFD"))
	case c.Vector == Bools:
		c.bool(first == 't', first == 'f')
	case !numeric:
		c.misfit = true
	case c.Vector == Int64s:
		c.int(raw)
	default:
		if c.Type == "" && inexact(raw) {
			c.misfit = true
			return
		}
		c.double(raw)
	}
}

func (c *column) bool(isTrue, isFalse bool) {
	c.Bools = append(c.Bools, isTrue)
	c.misfit = !isTrue && !isFalse
}

func (c *column) int(raw []byte) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	c.Int64s = append(c.Int64s, n)
	c.misfit = err != nil
}

func (c *column) double(raw []byte) {
	f, ok := parseDouble(raw)
	c.Doubles = append(c.Doubles, f)
	c.misfit = !ok
}

// finish returns the column; one without any cell to tell its type holds strings.
func (c *column) finish(rows int) Column {
	if c.Vector == NoVector {
		c.Vector = Strings
		c.Strings = make([]string, rows)
	}
	return c.Column
}

// inexact reports whether raw is an integer that a double might not hold.
func inexact(raw []byte) bool {
	if bytes.ContainsAny(raw, ".eE") {
		return false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return err != nil || n > maxExact || n < -maxExact
}

// parseDouble reads a decimal, or what .NET prints for what is none. Go's other spellings (hex, "inf") are refused, and
// so is a decimal too large for a double.
func parseDouble(raw []byte) (float64, bool) {
	switch string(raw) {
	case "NaN":
		return math.NaN(), true
	case "Infinity", "∞":
		return math.Inf(1), true
	case "-Infinity", "-∞":
		return math.Inf(-1), true
	}
	for _, c := range raw {
		if c-'0' > 9 && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}

package azureml

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// values reads the rows into columns, and no less of them than skip would: wrong says why they are no table's.
func (s *scanner) values(t *Table, names, types []string) (wrong, err error) {
	start := s.i
	if wrong = s.columns(t, names, types); wrong != nil {
		// Whether it is JSON counts more than whether it is a table.
		s.i = start
		_, err = s.skip()
	}
	return wrong, err
}

func (s *scanner) columns(t *Table, names, types []string) error {
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
	s.expected = s.expect(width)
	if err := s.rows(t, columns); err != nil {
		return err
	}
	if retry(columns) {
		s.i, s.expected = start, t.Rows
		if err := s.rows(t, columns); err != nil {
			return err
		}
	}
	t.Columns = make([]Column, width)
	for i := range columns {
		t.Columns[i] = columns[i].finish(t.Rows)
	}
	return nil
}

// firstWidth counts the cells of the first row, for answers without names.
func (s *scanner) firstWidth() int {
	probe := &scanner{b: s.b, i: s.i + 1}
	if probe.peek() != '[' {
		return 0
	}
	return probe.width()
}

// width counts the cells of the row that follows.
func (s *scanner) width() (width int) {
	_ = s.array(func(n int) error {
		width = n + 1
		_, err := s.skip()
		return err
	})
	return width
}

// expect guesses how many rows follow, by their opening brackets up to the first two closing ones. That is exact unless
// brackets stand in cells too, and never more than so many bytes can hold. No byte is looked at for two tables, so that
// all guesses of an answer together are bounded by its length.
func (s *scanner) expect(width int) int {
	window := s.b[s.i:min(len(s.b), s.i+s.credit)]
	if end := bytes.Index(window, []byte("]]")); end >= 0 {
		window = window[:end+2]
	}
	s.credit -= len(window)
	return max(0, min(bytes.Count(window, []byte("["))-1, len(window)/(2*width+2)+1))
}

// rows reads all rows into the columns that are not idle.
func (s *scanner) rows(t *Table, columns []column) error {
	s.allocate(columns)
	s.i++ // the bracket
	t.Rows = 0
	if s.accept(']') {
		return nil
	}
	for {
		if s.peek() != '[' {
			return &NotTableError{t.Name, fmt.Sprintf("row %d is no list of cells", t.Rows)}
		}
		start := s.i
		s.i++
		if whole, err := s.row(columns, t.Rows); err != nil {
			return err
		} else if !whole {
			s.i = start
			return &NotTableError{t.Name, fmt.Sprintf("row %d has %d cells for %d columns", t.Rows, s.width(), len(columns))}
		}
		t.Rows++
		if s.accept(']') {
			return nil
		}
		if !s.accept(',') {
			return s.fail("',' or ']'")
		}
	}
}

// row reads the cells of a row and the bracket behind them. It is not whole if it has fewer or more than there are
// columns, or if that bracket is missing.
func (s *scanner) row(columns []column, row int) (whole bool, err error) {
	if empty := s.accept(']'); empty || len(columns) == 0 {
		return empty == (len(columns) == 0), nil
	}
	b := s.b
	for k := range columns {
		c := &columns[k]
		if s.i < len(b) && b[s.i] == ' ' { // as Python writes
			s.i++
		}
		if end := c.quick(b, s.i); end > 0 {
			s.i = end
		} else if err := c.read(s, row); err != nil {
			return false, err
		}
		behind := byte(',')
		if k == len(columns)-1 {
			behind = ']'
		}
		if s.i < len(b) && b[s.i] == behind {
			s.i++
		} else if !s.accept(behind) {
			return false, nil
		}
	}
	return true, nil
}

// column is a Column being read.
type column struct {
	Column
	idle   bool // cells are passed over: the column was read to its end, or does not fit
	misfit bool // a cell did not fit; what was read is void
}

// retry makes columns that have a cell which their type does not hold ready to be read once more, as texts, and all
// others idle. It reports whether there are any.
func retry(columns []column) (again bool) {
	for i := range columns {
		c := &columns[i]
		c.idle = !c.misfit
		if c.misfit {
			*c = column{Column: Column{Name: c.Name, Type: c.Type, Vector: Strings}}
			again = true
		}
	}
	return again
}

// allocate gives columns of known types room for the expected rows, in one piece for each vector.
func (s *scanner) allocate(columns []column) {
	var count [Bools + 1]int
	for i := range columns {
		if c := &columns[i]; !c.idle {
			count[c.Vector] += s.expected
		}
	}
	doubles, int64s := make([]float64, count[Doubles]), make([]int64, count[Int64s])
	texts, bools := make([]string, count[Strings]), make([]bool, count[Bools])
	for i := range columns {
		c := &columns[i]
		switch {
		case c.idle || s.expected == 0:
		case c.Vector == Doubles:
			c.Doubles, doubles = piece(doubles, s.expected)
		case c.Vector == Int64s:
			c.Int64s, int64s = piece(int64s, s.expected)
		case c.Vector == Strings:
			c.Strings, texts = piece(texts, s.expected)
		case c.Vector == Bools:
			c.Bools, bools = piece(bools, s.expected)
		}
	}
}

// piece cuts room for n off list.
func piece[T any](list []T, n int) (empty, rest []T) { return list[:0:n], list[n:] }

// quick reads the usual cells: decimals and truth values, in quotes or without, that their column holds, with a comma
// or a bracket right behind them. It returns where the cell ends, or 0 if it did nothing.
func (c *column) quick(b []byte, i int) int {
	if c.idle || len(b)-i < 26 {
		return 0
	}
	at := i
	if b[i] == '"' {
		if c.Type == "" {
			return 0
		}
		at++
	}
	end := 0
	switch c.Vector {
	case Doubles:
		w, scale, minus, stop := readDecimal(b, at)
		if stop == 0 || !closed(b, stop, at > i) || scale == 0 && w > maxExact && c.Type == "" {
			return 0
		}
		c.Doubles = append(c.Doubles, toDouble(w, scale, minus))
		end = stop
	case Int64s:
		w, scale, minus, stop := readDecimal(b, at)
		if stop == 0 || !closed(b, stop, at > i) || scale != 0 || w > math.MaxInt64 {
			return 0
		}
		c.Int64s = append(c.Int64s, (int64(w)^-int64(minus))+int64(minus))
		end = stop
	case Bools:
		isTrue, stop := readTruth(b, at, at > i)
		if stop == 0 || !closed(b, stop, at > i) {
			return 0
		}
		c.Bools = append(c.Bools, isTrue)
		end = stop
	default:
		return 0
	}
	return end + at - i
}

// closed reports whether a cell ends at b[i].
func closed(b []byte, i int, quoted bool) bool {
	if i >= len(b) {
		return false
	}
	if quoted {
		return b[i] == '"'
	}
	return b[i] == ',' || b[i] == ']'
}

// readTruth reads a truth value at b[i:], which has five bytes. end is 0 if there is none.
func readTruth(b []byte, i int, quoted bool) (isTrue bool, end int) {
	switch t, f := b[i:i+4], b[i:i+5]; {
	case string(t) == "true" || quoted && string(t) == "True":
		return true, i + 4
	case string(f) == "false" || quoted && string(f) == "False":
		return false, i + 5
	}
	return false, 0
}

// read reads the next cell of the scanner into the column.
func (c *column) read(s *scanner, row int) error {
	if c.idle {
		_, err := s.nested(2)
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
		c.reserve(s.expected)
		for range row { // nothing but missing cells so far
			c.missing()
		}
	}
	if first == '"' {
		raw, plain, err := s.quoted()
		if err == nil {
			c.text(s, raw, plain)
		}
		return err
	}
	raw, err := s.nested(2)
	if err == nil {
		c.bare(s, raw, first)
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

// reserve makes room for rows cells.
func (c *column) reserve(rows int) {
	switch c.Vector {
	case Doubles:
		c.Doubles = make([]float64, 0, rows)
	case Bools:
		c.Bools = make([]bool, 0, rows)
	case Strings:
		c.Strings = make([]string, 0, rows)
	}
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
func (c *column) text(s *scanner, raw []byte, plain bool) {
	raw = s.unescaped(raw, plain) // today's .NET writes the plus sign as \u002B
	switch {
	case c.Vector == Strings:
		c.Strings = append(c.Strings, s.keep(raw))
	case c.Type == "":
		c.misfits()
	case c.Vector == Bools:
		c.bool(string(raw) == "True" || string(raw) == "true", string(raw) == "False" || string(raw) == "false")
	case c.Vector == Int64s:
		c.int(raw)
	default:
		c.double(raw)
	}
}

// bare appends a cell without quotes: a number, a truth value or something nested.
func (c *column) bare(s *scanner, raw []byte, first byte) {
	numeric := first == '-' || first-'0' <= 9
	switch {
	case c.Vector == Strings:
		if !utf8.Valid(raw) {
			raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
		}
		c.Strings = append(c.Strings, s.keep(raw))
	case c.Vector == Bools:
		c.bool(first == 't', first == 'f')
	case !numeric:
		c.misfits()
	case c.Vector == Int64s:
		c.int(raw)
	default:
		if c.Type == "" && inexact(raw) {
			c.misfits()
			return
		}
		c.double(raw)
	}
}

func (c *column) misfits() { c.misfit, c.idle = true, true }

func (c *column) bool(isTrue, isFalse bool) {
	if c.Bools = append(c.Bools, isTrue); !isTrue && !isFalse {
		c.misfits()
	}
}

func (c *column) int(raw []byte) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if c.Int64s = append(c.Int64s, n); err != nil {
		c.misfits()
	}
}

func (c *column) double(raw []byte) {
	f, ok := parseDouble(raw)
	if c.Doubles = append(c.Doubles, f); !ok {
		c.misfits()
	}
}

// finish returns the column; one without any cell to tell its type holds strings.
func (c *column) finish(rows int) Column {
	if c.Vector == NoVector {
		c.Vector = Strings
		c.Strings = make([]string, rows)
	}
	return c.Column
}

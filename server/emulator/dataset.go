package emulator

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// A job's input is held in memory as a whole, several times over. No source
// tells of AzureML's limits, which were those of a batch system.
const (
	maxDataset = 64 << 20  // bytes
	maxRows    = 1_000_000 // a row may be two bytes only
)

// readDataset reads a text with a header line and a row a line. Columns are
// taken by their names, in any order. An empty cell is a missing one, as in
// AzureML's own reader. Tab-separated text is quoted as CSV is.
func (p *port) readDataset(text []byte, separator rune) (*table, *failure) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	switch {
	case len(bytes.TrimFunc(text, isBlank)) == 0:
		return nil, reading("0003", "One or more of inputs are null or empty")
	case !utf8.Valid(text):
		return nil, unparsed("byte %d is not UTF-8", firstInvalid(text))
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.ReuseRecord = separator, true
	header, err := r.Read()
	if err != nil {
		return nil, unreadable(err)
	}
	order, f := p.orderOf(header)
	if f != nil {
		return nil, f
	}
	t := &table{vectors: make([]vector, len(p.columns))}
	for ; ; t.rows++ {
		if rest := text[r.InputOffset():]; len(order) == 1 && (bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n"))) {
			// The reader skips blank lines, which would lose a row of a single
			// column without a word.
			return nil, unparsed(`a blank line after row %d; "" stands for a missing cell`, t.rows)
		}
		record, err := r.Read()
		switch {
		case err == io.EOF:
			return t, nil
		case err != nil:
			return nil, unreadable(err)
		case t.rows == maxRows:
			return nil, reading("0018", "Dataset contains invalid data. There are more than %d rows", maxRows)
		}
		for i, text := range record {
			cell := literal{kind: kindString, text: text}
			if text == "" {
				cell.kind = kindNull
			}
			if err := p.columns[order[i]].add(&t.vectors[order[i]], cell); err != nil {
				return nil, reading("0018", "Dataset contains invalid data. Row %d, column %q: %v", t.rows, p.columns[order[i]].name, err)
			}
		}
	}
}

// orderOf returns the column of each place in a row.
func (p *port) orderOf(header []string) ([]int, *failure) {
	order := make([]int, len(header))
	seen := make([]bool, len(p.columns))
	for place, name := range header {
		i := p.index(name)
		switch {
		case i < 0:
			return nil, reading("0018", "Dataset contains invalid data. It has an unknown column %q", cut(name))
		case seen[i]:
			return nil, reading("0018", "Dataset contains invalid data. It has column %q twice", name)
		}
		order[place], seen[i] = i, true
	}
	for i, found := range seen {
		if !found {
			return nil, reading("0018", "Dataset contains invalid data. It lacks column %q", p.columns[i].name)
		}
	}
	return order, nil
}

// unreadable says what is wrong with a CSV. Rows of different lengths have the
// words that were seen from AzureML.
func unreadable(err error) *failure {
	var at *csv.ParseError
	switch {
	case errors.Is(err, csv.ErrFieldCount) && errors.As(err, &at):
		return reading("1000", "AFx Library library exception: All rows must have same number of elements. See line %d", at.Line)
	case errors.Is(err, csv.ErrBareQuote) && errors.As(err, &at):
		return unparsed("line %d, column %d: a quote in a cell that is not quoted", at.Line, at.Column)
	case errors.As(err, &at): // csv.ErrQuote
		return unparsed("line %d, column %d: a quoted cell that does not end as it should", at.Line, at.Column)
	}
	return unparsed("it ends too early")
}

// appendDataset writes a table as readDataset reads it.
func (p *port) appendDataset(out []byte, t *table, separator rune) []byte {
	buffer := bytes.NewBuffer(out)
	w := csv.NewWriter(buffer) // a Buffer never fails
	w.Comma = separator
	record := make([]string, len(p.columns))
	for i := range p.columns {
		record[i] = p.columns[i].name
	}
	_ = w.Write(record)
	var cell []byte
	for row := range t.rows {
		for i := range p.columns {
			v := &t.vectors[i]
			switch typ := p.columns[i].typ; {
			case v.isMissing(row):
				record[i] = ""
			case typ == typeString:
				record[i] = v.texts[row]
			case typ == typeInt32: // most cells are small, and those need no memory
				record[i] = strconv.Itoa(int(v.numbers[row]))
			default:
				cell = typ.appendNumber(cell[:0], v.numbers[row])
				record[i] = string(cell)
			}
		}
		_ = w.Write(record)
	}
	w.Flush()
	return buffer.Bytes()
}

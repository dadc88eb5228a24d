package azureml

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
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
	s := &scanner{b: body, credit: len(body)}
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
	values, current := -1, false // where Values begins; whether it was read with the names and types that count
	err = s.object(func(member string) (err error) {
		switch member {
		case "ColumnNames":
			names, oddName, err = s.texts()
			current = false
		case "ColumnTypes":
			types, oddType, err = s.texts()
			current = false
		case "Values":
			if values = -1; s.peek() == '[' {
				values = s.i
			}
			if current = values >= 0 && (names != nil || types != nil); current {
				wrong, err = s.values(t, names, types)
			} else {
				// Read when names and types are known, which may come later.
				_, err = s.skip()
			}
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
	case current:
		return wrong, nil
	}
	end := s.i
	s.i = values
	wrong, err = s.values(t, names, types)
	s.i = end
	return wrong, err
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

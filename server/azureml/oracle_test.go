package azureml_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/amlgate/amlgate/server/azureml"
)

// reading is what the oracle makes of an answer.
type reading struct {
	syntax bool // it is JSON
	tables []azureml.Table
	table  bool // every output is one
}

// consult reads an answer with encoding/json, by the words of ParseAnswer's comment and of table.proto, and with nothing
// of the code it judges.
func consult(body []byte) reading {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if !json.Valid(body) {
		return reading{}
	}
	r := reading{syntax: true}
	outer, _ := ordered(body)
	outputs, isObject := ordered(outer["Results"])
	if !isObject {
		return r
	}
	_, names := keys(outer["Results"])
	for _, name := range names {
		output, _ := ordered(outputs[name])
		value, isObject := ordered(output["value"])
		if !isObject {
			return r
		}
		columns, rows, ok := grid(value)
		if !ok {
			return r
		}
		r.tables = append(r.tables, azureml.Table{Name: name, Rows: rows, Columns: columns})
	}
	r.table = true
	return r
}

// ordered reads an object; of members with one name the last counts.
func ordered(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	if len(raw) == 0 || bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return nil, false
	}
	m := map[string]json.RawMessage{}
	return m, json.Unmarshal(raw, &m) == nil
}

// keys lists an object's names in the order in which they first stand.
func keys(raw json.RawMessage) (seen map[string]bool, names []string) {
	d := json.NewDecoder(bytes.NewReader(raw))
	seen = map[string]bool{}
	for _, err := d.Token(); err == nil && d.More(); {
		var name json.Token
		if name, err = d.Token(); err != nil {
			break
		}
		if text := name.(string); !seen[text] {
			seen[text] = true
			names = append(names, text)
		}
		var skipped json.RawMessage
		err = d.Decode(&skipped)
	}
	return seen, names
}

// list reads an array.
func list(raw json.RawMessage) ([]json.RawMessage, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	items := []json.RawMessage{}
	return items, json.Unmarshal(raw, &items) == nil
}

// strs reads an array of texts: nil where there is no array, not ok where one of its items is no text.
func strs(raw json.RawMessage) (texts []string, ok bool) {
	items, isArray := list(raw)
	if !isArray {
		return nil, true
	}
	texts = []string{}
	for _, item := range items {
		if item[0] != '"' {
			return nil, false
		}
		texts = append(texts, unquoted(item))
	}
	return texts, true
}

func unquoted(raw json.RawMessage) (s string) {
	if err := json.Unmarshal(raw, &s); err != nil {
		panic(err)
	}
	return s
}

// grid reads the value of a table.
func grid(value map[string]json.RawMessage) (columns []azureml.Column, rows int, ok bool) {
	names, okNames := strs(value["ColumnNames"])
	types, okTypes := strs(value["ColumnTypes"])
	lines, isArray := list(value["Values"])
	if !okNames || !okTypes || !isArray {
		return nil, 0, false
	}
	cells := make([][]json.RawMessage, len(lines))
	width := -1
	switch {
	case names != nil:
		width = len(names)
	case types != nil:
		width = len(types)
	case len(lines) == 0:
		width = 0
	}
	for i, line := range lines {
		if cells[i], isArray = list(line); !isArray || width >= 0 && len(cells[i]) != width {
			return nil, 0, false
		}
		width = len(cells[i])
	}
	if types != nil && len(types) != width {
		return nil, 0, false
	}
	for i := range width {
		var c azureml.Column
		column := make([]json.RawMessage, len(cells))
		for row := range cells {
			column[row] = cells[row][i]
		}
		if types == nil {
			c = infer(column)
		} else {
			c = byType(types[i], column)
		}
		if names != nil {
			c.Name = names[i]
		}
		columns = append(columns, c)
	}
	return columns, len(lines), true
}

var vectors = map[string]azureml.Vector{
	"Double": azureml.Doubles, "Single": azureml.Doubles, "Numeric": azureml.Doubles,
	"Byte": azureml.Int64s, "Int16": azureml.Int64s, "Int32": azureml.Int64s, "Int64": azureml.Int64s,
	"Boolean": azureml.Bools,
}

// byType reads a column whose type is told: quoted or not, a cell is what its characters say.
func byType(columnType string, cells []json.RawMessage) azureml.Column {
	c := azureml.Column{Type: columnType, Vector: vectors[columnType]}
	for row, raw := range cells {
		text, fits := string(raw), true
		quoted := raw[0] == '"'
		if quoted {
			text = unquoted(raw)
		}
		switch {
		case text == "null" && !quoted:
			text, c.Missing = "", append(c.Missing, uint32(row))
			c.Doubles, c.Int64s, c.Bools = append(c.Doubles, 0), append(c.Int64s, 0), append(c.Bools, false)
		case c.Vector == azureml.Doubles:
			var f float64
			f, fits = readDouble(text)
			c.Doubles = append(c.Doubles, f)
		case c.Vector == azureml.Int64s:
			n, isInteger := readInteger(text)
			fits = isInteger && n.IsInt64()
			c.Int64s = append(c.Int64s, n.Int64())
		case c.Vector == azureml.Bools:
			fits = text == "true" || text == "false" || quoted && (text == "True" || text == "False")
			c.Bools = append(c.Bools, strings.EqualFold(text, "true"))
		}
		if !fits {
			c.Vector = azureml.NoVector
		}
		c.Strings = append(c.Strings, strings.ToValidUTF8(text, "\ufffd"))
	}
	return only(c)
}

// infer reads a column whose type is not told: by JSON's own types.
func infer(cells []json.RawMessage) azureml.Column {
	kinds := map[azureml.Vector]bool{}
	for _, raw := range cells {
		switch {
		case string(raw) == "null":
		case string(raw) == "true" || string(raw) == "false":
			kinds[azureml.Bools] = true
		case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
			n, isInteger := readInteger(string(raw))
			_, isDouble := readDouble(string(raw))
			exact := !isInteger || n.CmpAbs(big.NewInt(1<<53)) <= 0
			kinds[map[bool]azureml.Vector{true: azureml.Doubles, false: azureml.Strings}[exact && isDouble]] = true
		default:
			kinds[azureml.Strings] = true
		}
	}
	columnType := "String"
	switch {
	case len(kinds) == 1 && kinds[azureml.Doubles]:
		columnType = "Double"
	case len(kinds) == 1 && kinds[azureml.Bools]:
		columnType = "Boolean"
	}
	c := byType(columnType, cells)
	c.Type = ""
	return c
}

// only keeps the vector that counts.
func only(c azureml.Column) azureml.Column {
	if c.Vector == azureml.NoVector {
		c.Vector = azureml.Strings
	}
	if c.Vector != azureml.Doubles {
		c.Doubles = nil
	}
	if c.Vector != azureml.Int64s {
		c.Int64s = nil
	}
	if c.Vector != azureml.Strings {
		c.Strings = nil
	}
	if c.Vector != azureml.Bools {
		c.Bools = nil
	}
	return c
}

var (
	decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	integer = regexp.MustCompile(`^[+-]?[0-9]+$`)
)

func readDouble(text string) (float64, bool) {
	words := map[string]string{"NaN": "NaN", "Infinity": "Inf", "-Infinity": "-Inf", "∞": "Inf", "-∞": "-Inf"}
	if word, ok := words[text]; ok {
		f, _ := strconv.ParseFloat(word, 64)
		return f, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && decimal.MatchString(text)
}

func readInteger(text string) (*big.Int, bool) {
	n := new(big.Int)
	if !integer.MatchString(text) {
		return n, false
	}
	_, ok := n.SetString(text, 10)
	return n, ok
}

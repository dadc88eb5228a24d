package load

import (
	"math/rand/v2"
	"strconv"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// Cells says what generated cells hold.
type Cells int

// The kinds of cells.
const (
	Short   Cells = iota // numbers of at most four decimals
	Full                 // numbers of 15 to 17 digits, as probabilities are
	Classic              // numbers of at most four decimals, which answers carry as texts with column types, as Studio (classic) did
	Text                 // a sentence
)

// Size is a table to send, and to answer with. Cells come from a fixed seed: the same size is the same bytes everywhere.
type Size struct {
	Name          string
	Rows, Columns int
	Cells         Cells
}

// Sizes are the presets.
var Sizes = []Size{
	{"small", 1, 1, Text},
	{"medium", 100, 20, Short},
	{"large", 1000, 50, Short},
	{"large-full", 1000, 50, Full},
	{"large-classic", 1000, 50, Classic},
}

// sentence is what a Text cell holds.
const sentence = "This product arrived on time and works as described"

// input is the name of the generated table on requests; AzureML's own default.
const input = "input1"

// Request returns AzureML's JSON of a request with such a table.
func (s Size) Request() []byte {
	b := append([]byte(`{"Inputs":{"`+input+`":{"ColumnNames":`), s.names("c")...)
	b = append(b, `,"Values":`...)
	b = s.appendRows(b, 1, false)
	return append(b, `}},"GlobalParameters":{}}`...)
}

// Answer returns AzureML's JSON of an answer with such a table.
func (s Size) Answer() []byte {
	b := append([]byte(`{"Results":{"output1":{"type":"table","value":{"ColumnNames":`), s.names("o")...)
	if s.Cells == Classic {
		b = append(b, `,"ColumnTypes":[`...)
		for i := range s.Columns {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `"Double"`...)
		}
		b = append(b, ']')
	}
	b = append(b, `,"Values":`...)
	b = s.appendRows(b, 2, s.Cells == Classic)
	return append(b, `}}}}`...)
}

// Tables returns the request's table typed: doubles, or strings for Text.
func (s Size) Tables() *v1.ScoringInput {
	table := &v1.Table{RowCount: uint32(s.Rows), Columns: make([]*v1.Column, s.Columns)}
	doubles := make([]*v1.Doubles, s.Columns)
	for j := range table.Columns {
		table.Columns[j] = &v1.Column{Name: "c" + strconv.Itoa(j)}
		doubles[j] = &v1.Doubles{}
		if s.Cells != Text {
			table.Columns[j].Values = &v1.Column_Doubles{Doubles: doubles[j]}
			continue
		}
		texts := make([]string, s.Rows)
		for i := range texts {
			texts[i] = sentence
		}
		table.Columns[j].Values = &v1.Column_Strings{Strings: &v1.Strings{Values: texts}}
	}
	r := seeded(1)
	for range s.Rows {
		for j := range doubles {
			doubles[j].Values = append(doubles[j].Values, s.number(r))
		}
	}
	return &v1.ScoringInput{Inputs: map[string]*v1.Table{input: table}}
}

// names is the JSON list of column names.
func (s Size) names(prefix string) []byte {
	b := []byte{'['}
	for i := range s.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, prefix+strconv.Itoa(i))
	}
	return append(b, ']')
}

// appendRows appends the JSON list of rows; quoted says that numbers are written as texts.
func (s Size) appendRows(b []byte, seed uint64, quoted bool) []byte {
	r := seeded(seed)
	b = append(b, '[')
	for i := range s.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j := range s.Columns {
			if j > 0 {
				b = append(b, ',')
			}
			b = s.appendCell(b, r, quoted)
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

func (s Size) appendCell(b []byte, r *rand.Rand, quoted bool) []byte {
	n := s.number(r)
	if s.Cells == Text {
		return strconv.AppendQuote(b, sentence)
	}
	if quoted {
		return append(strconv.AppendFloat(append(b, '"'), n, 'f', -1, 64), '"')
	}
	return strconv.AppendFloat(b, n, 'f', -1, 64)
}

// number draws the next cell.
func (s Size) number(r *rand.Rand) float64 {
	if s.Cells == Full {
		return r.Float64()
	}
	return float64(r.IntN(20_000_000)-10_000_000) / 10_000
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

package azureml_test

import (
	"encoding/binary"
	"math"

	"github.com/amlgate/amlgate/server/azureml"
)

// feed builds requests of a fuzzer's bytes; behind their end everything is 0.
type feed struct{ b []byte }

func (f *feed) take(n int) []byte {
	out := make([]byte, n)
	f.b = f.b[copy(out, f.b):]
	return out
}

func (f *feed) upTo(n int) int { return int(f.take(1)[0]) % (n + 1) }

func (f *feed) text() string { return string(f.take(f.upTo(6))) }

func (f *feed) word() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

// inputs builds up to three tables of different names.
func (f *feed) inputs() []azureml.Table {
	var list []azureml.Table
	names := map[string]bool{}
	for range f.upTo(3) {
		t := f.table()
		if name := utf8(t.Name); !names[name] {
			names[name] = true
			list = append(list, t)
		}
	}
	return list
}

func (f *feed) table() azureml.Table {
	t := azureml.Table{Name: f.text()}
	rows, width := f.upTo(4), f.upTo(4)
	if width == 0 {
		t.Rows = rows
	}
	for range width {
		c := azureml.Column{Vector: azureml.Vector(1 + f.upTo(3)), Name: f.text()}
		for row := range rows {
			if f.upTo(7) == 7 {
				c.Missing = append(c.Missing, uint32(row))
			}
			switch c.Vector {
			case azureml.Doubles:
				c.Doubles = append(c.Doubles, math.Float64frombits(f.word()))
			case azureml.Int64s:
				c.Int64s = append(c.Int64s, int64(f.word())>>(8*f.upTo(7)))
			case azureml.Strings:
				c.Strings = append(c.Strings, f.text())
			case azureml.Bools:
				c.Bools = append(c.Bools, f.upTo(1) == 1)
			}
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

func (f *feed) parameters() map[string]any {
	m := map[string]any{}
	for range f.upTo(3) {
		name := f.text()
		if _, taken := m[name]; taken || utf8(name) != name {
			continue
		}
		switch f.upTo(5) {
		case 1:
			m[name] = f.upTo(1) == 1
		case 2:
			m[name] = f.text()
		case 3:
			m[name] = math.Float64frombits(f.word())
		case 4:
			m[name] = []any{f.text(), nil, []any{}}
		case 5:
			m[name] = map[string]any{utf8(f.text()): true, "k": 0.5}
		default:
			m[name] = nil
		}
	}
	return m
}

// utf8 returns a text as JSON can hold it.
func utf8(s string) string { return string([]rune(s)) }

// valid returns a parameter with every text in UTF-8.
func valid(v any) any {
	switch v := v.(type) {
	case string:
		return utf8(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = valid(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = valid(item)
		}
		return out
	}
	return v
}

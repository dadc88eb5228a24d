package emulator

import (
	"encoding/json"
	"math"
	"testing"
)

// What .NET Framework's Double.ToString() writes in en-US.
func TestAppendDouble(t *testing.T) {
	t.Parallel()
	for number, want := range map[float64]string{
		0:                       "0",
		math.Copysign(0, -1):    "0",
		65:                      "65",
		-330:                    "-330",
		0.1:                     "0.1",
		0.1 + 0.2:               "0.3",
		1. / 3:                  "0.333333333333333",
		2. / 3:                  "0.666666666666667",
		100749.893789066:        "100749.893789066",
		-0.687952590518378:      "-0.687952590518378",
		0.059025701135397:       "0.059025701135397",
		0.0001:                  "0.0001",
		0.00012345678901234567:  "0.000123456789012346",
		0.00001:                 "1E-05",
		-0.000012345:            "-1.2345E-05",
		1e-100:                  "1E-100",
		999999999999999:         "999999999999999",
		1e14:                    "100000000000000",
		1e15:                    "1E+15",
		123456789012345678:      "1.23456789012346E+17",
		999999999999999.9:       "1E+15",
		math.MaxFloat64:         "1.79769313486232E+308",
		math.Inf(1):             "Infinity",
		math.Inf(-1):            "-Infinity",
		5e-324:                  "4.94065645841247E-324",
		1234567890123456789e100: "1.23456789012346E+118",
	} {
		if got := string(appendDouble(nil, number)); got != want {
			t.Errorf("%v: got %s, want %s", number, got, want)
		}
	}
	if got := string(appendDouble(nil, math.NaN())); got != "NaN" {
		t.Errorf("NaN: got %s", got)
	}
}

func TestAppendCell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		typ  columnType
		cell vector
		want string
	}{
		{typeString, vector{texts: []string{"a\"b"}}, `"a\"b"`},
		{typeString, vector{texts: []string{""}, missing: []bool{true}}, `null`},
		{typeString, vector{texts: []string{""}, missing: []bool{false}}, `""`},
		{typeInt32, vector{numbers: []float64{math.MinInt32}}, `"-2147483648"`},
		{typeInt32, vector{numbers: []float64{0}, missing: []bool{true}}, `null`},
		{typeDouble, vector{numbers: []float64{math.NaN()}}, `"NaN"`},
		{typeDouble, vector{numbers: []float64{1e-5}}, `"1E-05"`},
		{typeBoolean, vector{numbers: []float64{1}}, `"True"`},
		{typeBoolean, vector{numbers: []float64{0}}, `"False"`},
	} {
		if got := string(tt.typ.appendCell(nil, &tt.cell, 0)); got != tt.want {
			t.Errorf("%s %+v: got %s, want %s", tt.typ, tt.cell, got, tt.want)
		}
	}
}

// Every cell of a request, by type: what it is read as, or that it is refused.
func TestAdd(t *testing.T) {
	t.Parallel()
	const refused = "refused"
	for _, tt := range []struct {
		sent                             string
		text, integer, double, condition string
	}{
		{`"61"`, `"61"`, `"61"`, `"61"`, refused},
		{`" 61\t"`, `" 61\u0009"`, `"61"`, `"61"`, refused},
		{`61.0`, `"61.0"`, `"61"`, `"61"`, refused},
		{`6.1e1`, `"6.1e1"`, `"61"`, `"61"`, refused},
		{`"+5"`, `"+5"`, `"5"`, `"5"`, refused},
		{`-0`, `"-0"`, `"0"`, `"0"`, refused},
		{`1`, `"1"`, `"1"`, `"1"`, `"True"`},
		{`"0"`, `"0"`, `"0"`, `"0"`, `"False"`},
		{`61.5`, `"61.5"`, refused, `"61.5"`, refused},
		{`2147483647`, `"2147483647"`, `"2147483647"`, `"2147483647"`, refused},
		{`-2147483649`, `"-2147483649"`, refused, `"-2147483649"`, refused},
		{`1e400`, `"1e400"`, refused, refused, refused},
		{`"NaN"`, `"NaN"`, refused, `"NaN"`, refused},
		{`"nan"`, `"nan"`, refused, refused, refused},
		{`"Infinity"`, `"Infinity"`, refused, `"Infinity"`, refused},
		{`"-Infinity"`, `"-Infinity"`, refused, `"-Infinity"`, refused},
		{`"1e"`, `"1e"`, refused, refused, refused},
		{`"1,000"`, `"1,000"`, refused, refused, refused},
		{`""`, `""`, refused, refused, refused},
		{`" "`, `" "`, refused, refused, refused},
		{`true`, `"True"`, refused, refused, `"True"`},
		{`false`, `"False"`, refused, refused, `"False"`},
		{`"TRUE"`, `"TRUE"`, refused, refused, `"True"`},
		{`" false "`, `" false "`, refused, refused, `"False"`},
		{`null`, `null`, `null`, `null`, `null`},
		{`[]`, refused, refused, refused, refused},
		{`{"a":1}`, refused, refused, refused, refused},
	} {
		for typ, want := range map[columnType]string{typeString: tt.text, typeInt32: tt.integer, typeDouble: tt.double, typeBoolean: tt.condition} {
			c := column{typ: typ}
			var v vector
			got := refused
			if err := c.add(&v, (&cursor{text: tt.sent}).literal()); err == nil {
				got = string(typ.appendCell(nil, &v, 0))
			}
			if got != want {
				t.Errorf("%s as %s: got %s, want %s", tt.sent, typ, got, want)
			}
		}
	}
}

// The cursor reads what encoding/json reads.
func TestCursor(t *testing.T) {
	t.Parallel()
	const text = ` { "a\"\\" : [ 1 , -2.5E+3, true,false ,null, "x\u00e9]}" , [ ] , { } , [[],[{}]] ] , "" : "" , "n":0}`
	c := &cursor{text: text}
	var walk func() any
	walk = func() any {
		switch c.kind() {
		case kindObject:
			o := map[string]any{}
			for name := range c.members() {
				o[name] = walk()
			}
			return o
		case kindArray:
			a := []any{}
			for i := range c.elements() {
				if i != len(a) {
					t.Errorf("element %d is told to be %d", len(a), i)
				}
				a = append(a, walk())
			}
			return a
		case kindString:
			return c.literal().text
		case kindNumber:
			return json.Number(c.literal().text)
		}
		return map[byte]any{kindTrue: true, kindFalse: false}[c.literal().kind]
	}
	got, err := json.Marshal(walk())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"":"","a\"\\":[1,-2.5E+3,true,false,null,"xé]}",[],{},[[],[{}]]],"n":0}`
	if string(got) != want || c.at != len(text) {
		t.Errorf("at %d of %d\ngot  %s\nwant %s", c.at, len(text), got, want)
	}
	c.at = 0
	if c.skip(); c.at != len(text) {
		t.Errorf("skipped to %d of %d", c.at, len(text))
	}
}

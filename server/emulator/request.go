package emulator

import "slices"

// decode reads an execute request: the input's table and one row of global
// parameters.
//
// Both body shapes are taken whatever the query's format says, since
// Microsoft's own samples send either to the same address. Members that are
// not known are skipped, as .NET's JSON readers do; names are compared exactly.
func (s *service) decode(body []byte) (input, parameters *table, p *problem) {
	c, at, p := openRequest(body, "Inputs", "GlobalParameters")
	if p != nil {
		return nil, nil, p
	}
	if input, p = s.decodeInputs(c, at["Inputs"]); p != nil {
		return nil, nil, p
	}
	if parameters, p = s.decodeParameters(c, at["GlobalParameters"]); p != nil {
		return nil, nil, p
	}
	return input, parameters, nil
}

// openRequest checks that a body is a JSON object and finds where the values of
// the members known begin.
func openRequest(body []byte, known ...string) (*cursor, map[string]int, *problem) {
	c, p := checkText(body)
	if p != nil {
		return nil, nil, p
	}
	if c.kind() != kindObject {
		return nil, nil, invalidBody(c.at, "the request must be an object")
	}
	at, p := c.find(known)
	return c, at, p
}

// find walks the object at the cursor and returns where the values of the
// members known begin. The others are skipped.
func (c *cursor) find(known []string) (map[string]int, *problem) {
	at := map[string]int{}
	for name := range c.members() {
		c.skipBlanks()
		if !slices.Contains(known, name) {
			c.skip()
			continue
		}
		if _, twice := at[name]; twice {
			return nil, invalidBody(c.at, "%s is given twice", name)
		}
		at[name] = c.at
		c.skip()
	}
	return at, nil
}

// isEmptyMap reports whether the value at the cursor stands for a map without
// entries: nothing, null, {} or the [] that some JSON libraries make of it.
// Offset 0 is nothing, because the request's own brace stands there.
func (c *cursor) isEmptyMap(at int) bool {
	if c.at = at; at == 0 || c.kind() == kindNull {
		return true
	}
	if kind := c.kind(); kind != kindArray && kind != kindObject {
		return false
	}
	c.at++
	c.skipBlanks()
	empty := c.text[c.at] == ']' || c.text[c.at] == '}'
	c.at = at
	return empty
}

// decodeInputs reads the member Inputs.
func (s *service) decodeInputs(c *cursor, at int) (*table, *problem) {
	if c.isEmptyMap(at) {
		return nil, missingInput()
	}
	if c.kind() != kindObject {
		return nil, invalidBody(at, "Inputs must be an object")
	}
	input := 0
	var unknown []string
	for name := range c.members() {
		c.skipBlanks()
		switch {
		case name != s.input.name:
			unknown = append(unknown, name)
		case input != 0:
			return nil, invalidBody(c.at, "%s is given twice", name)
		default:
			input = c.at
		}
		c.skip()
	}
	if unknown != nil {
		return nil, invalidNames(unknown)
	}
	if c.at = input; input == 0 || c.kind() == kindNull {
		return nil, missingInput()
	}
	switch c.kind() {
	case kindArray:
		return s.input.decodeRows(c)
	case kindObject:
		return s.input.decodeColumns(c)
	}
	return nil, invalidBody(input, "%s must be an array of row objects or an object of ColumnNames and Values", s.input.name)
}

// decodeRows reads the row form: [{"column": cell}]. Every row has to name
// every column once, in any order.
func (p *port) decodeRows(c *cursor) (*table, *problem) {
	t := &table{vectors: make([]vector, len(p.columns))}
	lastRow := make([]int, len(p.columns)) // 1 + the row a column was last seen in
	for row := range c.elements() {
		if c.kind() != kindObject {
			return nil, invalidBody(c.at, "row %d must be an object", row)
		}
		cells := 0
		for name := range c.members() {
			i := p.index(name)
			if i < 0 {
				return nil, inputMismatch("Row %d has an unknown column %q", row, cut(name))
			}
			if lastRow[i] == row+1 {
				return nil, inputMismatch("Row %d has column %q twice", row, name)
			}
			lastRow[i] = row + 1
			if bad := p.decodeCell(c, t, row, i); bad != nil {
				return nil, bad
			}
			cells++
		}
		if cells < len(p.columns) {
			i := slices.IndexFunc(lastRow, func(last int) bool { return last != row+1 })
			return nil, inputMismatch("Row %d lacks column %q", row, p.columns[i].name)
		}
		t.rows++
	}
	return t, nil
}

func (p *port) decodeCell(c *cursor, t *table, row, i int) *problem {
	if err := p.columns[i].add(&t.vectors[i], c.literal()); err != nil {
		return inputParse("row %d, column %q: %v", row, p.columns[i].name, err)
	}
	return nil
}

// decodeColumns reads the column form: {"ColumnNames": [..], "Values": [[..]]}
// in either order. Values can only be read by the names, so their places are
// found first.
func (p *port) decodeColumns(c *cursor) (*table, *problem) {
	start, names, values := c.at, 0, 0
	for name := range c.members() {
		c.skipBlanks()
		at := c.at
		switch {
		case name == "ColumnNames" && names == 0:
			names = at
		case name == "Values" && values == 0:
			values = at
		case name == "ColumnNames" || name == "Values":
			return nil, invalidBody(at, "%s is given twice", name)
		}
		c.skip()
	}
	if names == 0 || values == 0 {
		return nil, invalidBody(start, "%s must be an array of row objects or an object of ColumnNames and Values", p.name)
	}
	c.at = names
	order, bad := p.decodeNames(c)
	if bad != nil {
		return nil, bad
	}
	if c.at = values; c.kind() != kindArray {
		return nil, invalidBody(values, "Values must be an array of rows")
	}
	t := &table{vectors: make([]vector, len(p.columns))}
	for row := range c.elements() {
		if c.kind() != kindArray {
			return nil, invalidBody(c.at, "row %d of Values must be an array of cells", row)
		}
		cells := 0
		for range c.elements() {
			if cells < len(order) {
				if bad := p.decodeCell(c, t, row, order[cells]); bad != nil {
					return nil, bad
				}
			} else {
				c.skip()
			}
			cells++
		}
		if cells != len(order) {
			return nil, inputParse("row %d: %d cells, expected %d", row, cells, len(order))
		}
		t.rows++
	}
	return t, nil
}

// decodeNames reads ColumnNames and returns the column of each place in a row.
func (p *port) decodeNames(c *cursor) ([]int, *problem) {
	if c.kind() != kindArray {
		return nil, invalidBody(c.at, "ColumnNames must be an array of texts")
	}
	var order []int
	for range c.elements() {
		if c.kind() != kindString {
			return nil, invalidBody(c.at, "ColumnNames must be an array of texts")
		}
		name := c.quoted()
		i := p.index(name)
		switch {
		case i < 0:
			return nil, inputMismatch("ColumnNames has an unknown column %q", cut(name))
		case slices.Contains(order, i):
			return nil, inputMismatch("ColumnNames has column %q twice", name)
		}
		order = append(order, i)
	}
	for i := range p.columns {
		if !slices.Contains(order, i) {
			return nil, inputMismatch("ColumnNames lacks column %q", p.columns[i].name)
		}
	}
	return order, nil
}

// decodeParameters reads the member GlobalParameters into a table of one row.
// A parameter that is null counts as not given.
func (s *service) decodeParameters(c *cursor, at int) (*table, *problem) {
	t := &table{rows: 1, vectors: make([]vector, len(s.parameters))}
	if !c.isEmptyMap(at) {
		if c.kind() != kindObject {
			return nil, invalidBody(at, "GlobalParameters must be an object")
		}
		if p := s.decodeGiven(c, t); p != nil {
			return nil, p
		}
	}
	var missing []string
	for i := range s.parameters {
		p := &s.parameters[i]
		switch {
		case t.vectors[i].missing != nil:
		case p.fallback == "":
			missing = append(missing, p.name)
		default:
			fallback := &cursor{text: p.fallback}
			if err := p.add(&t.vectors[i], fallback.literal()); err != nil {
				panic("emulator: the default of " + p.name + ": " + err.Error())
			}
		}
	}
	if missing != nil {
		return nil, badUserArgument.because("MissingRequiredGlobalParameters",
			"Parameter(s) expected by the web service are missing. Verify all the required parameters expected by the web service are correct and try again. Missing: %s.", list(missing))
	}
	return t, nil
}

// decodeGiven reads the parameters that the request has.
func (s *service) decodeGiven(c *cursor, t *table) *problem {
	for name := range c.members() {
		i := slices.IndexFunc(s.parameters, func(p parameter) bool { return p.name == name })
		if i < 0 {
			return badUserArgument.because("UnexpectedParameter",
				"Verify only the required parameters expected by the web service are passed and try again. Unexpected: %s.", cut(name))
		}
		if t.vectors[i].missing != nil {
			return invalidBody(c.at, "global parameter %q is given twice", name)
		}
		value := c.literal()
		if value.kind == kindNull {
			continue
		}
		if err := s.parameters[i].add(&t.vectors[i], value); err != nil {
			return badUserArgument.because("UserParameterInvalid", "Global parameter %q: %v.", name, err)
		}
	}
	return nil
}

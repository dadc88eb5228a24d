package emulator

// encode writes the answer of a call. Cells are appended by hand: an answer
// has as many as the request, and every one is a string of a known type. It
// gives up, and returns false, beyond limit bytes.
func (s *service) encode(tables []*table, shape shape, limit int) (out []byte, ok bool) {
	out = append(out, `{"Results":{`...)
	for i, t := range tables {
		if i > 0 {
			out = append(out, ',')
		}
		p := &s.outputs[i]
		out = append(appendQuoted(out, p.name), ':')
		if shape == shapeRows {
			out = p.appendRows(out, t, limit)
		} else {
			out = p.appendTable(out, t, shape == shapeDetails, limit)
		}
	}
	out = append(out, "}}"...)
	return out, len(out) <= limit
}

// appendRows writes the form of format=swagger: [{"column":"cell"}]. It writes
// no more rows once out is longer than limit.
func (p *port) appendRows(out []byte, t *table, limit int) []byte {
	prefixes := make([][]byte, len(p.columns)) // what stands before a cell
	for i, c := range p.columns {
		if i > 0 {
			prefixes[i] = []byte{','}
		}
		prefixes[i] = append(appendQuoted(prefixes[i], c.name), ':')
	}
	out = append(out, '[')
	for row := range t.rows {
		if len(out) > limit {
			break
		}
		if row > 0 {
			out = append(out, ',')
		}
		out = append(out, '{')
		for i, c := range p.columns {
			out = append(out, prefixes[i]...)
			out = c.typ.appendCell(out, &t.vectors[i], row)
		}
		out = append(out, '}')
	}
	return append(out, ']')
}

// appendTable writes the form without it. The type is "table" in every answer
// that was captured, whatever the help page's sample says. It writes no more
// rows once out is longer than limit.
func (p *port) appendTable(out []byte, t *table, details bool, limit int) []byte {
	out = append(out, `{"type":"table","value":{`...)
	if details {
		out = append(out, `"ColumnNames":`...)
		out = p.appendList(out, func(c *column) string { return c.name })
		out = append(out, `,"ColumnTypes":`...)
		out = p.appendList(out, func(c *column) string { return string(c.typ) })
		out = append(out, ',')
	}
	out = append(out, `"Values":[`...)
	for row := range t.rows {
		if len(out) > limit {
			break
		}
		if row > 0 {
			out = append(out, ',')
		}
		out = append(out, '[')
		for i, c := range p.columns {
			if i > 0 {
				out = append(out, ',')
			}
			out = c.typ.appendCell(out, &t.vectors[i], row)
		}
		out = append(out, ']')
	}
	return append(out, "]}}"...)
}

func (p *port) appendList(out []byte, text func(*column) string) []byte {
	out = append(out, '[')
	for i := range p.columns {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuoted(out, text(&p.columns[i]))
	}
	return append(out, ']')
}

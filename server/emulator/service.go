package emulator

// port is an input or output of a service: a table's name and its columns.
type port struct {
	name    string
	columns []column
}

// index returns the position of a column, or -1. Ports are a few columns wide,
// so this is faster than a map.
func (p *port) index(name string) int {
	for i := range p.columns {
		if p.columns[i].name == name {
			return i
		}
	}
	return -1
}

// parameter is a global parameter of a service.
type parameter struct {
	column
	fallback string // its value when the request has none, as JSON; "" makes it required
}

// service is a published model. All have one input, since the R package and
// most generated samples know no name but input1.
type service struct {
	id          string
	description string
	input       port
	parameters  []parameter
	outputs     []port

	// score computes one table for each output. parameters is one row, with a
	// vector for each parameter.
	score func(input, parameters *table) []*table
}

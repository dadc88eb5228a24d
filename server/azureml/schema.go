package azureml

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Schema is what a service's Swagger document tells about its data.
type Schema struct {
	Inputs, Outputs []TableSchema
	Parameters      []ColumnSchema
}

// TableSchema is the columns of one input or output, in order.
type TableSchema struct {
	Name    string
	Columns []ColumnSchema
}

// ColumnSchema is one column or global parameter in the words of the Swagger document.
type ColumnSchema struct {
	Name         string
	Type, Format string
	Nullable     bool
	Enum         []string
}

// ParseSchema reads a service's Swagger 2.0 document. No copy of one of classic's own is public; what its clients rely on
// is definitions.ExecutionRequest, with an example, and definitions.{input}Item and {output}Item, whose properties stand
// in the order of the columns. Where the request's and the answer's own properties lead to the tables, they are followed;
// otherwise the names tell. What is not found is left out: only a text that is no JSON object is an error.
func ParseSchema(document []byte) (Schema, error) {
	var doc struct {
		Definitions json.RawMessage `json:"definitions"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(document, utf8BOM), &doc); err != nil {
		return Schema{}, errors.New("the service's description is no JSON object")
	}
	var members object
	_ = members.UnmarshalJSON(doc.Definitions) // what is no object defines nothing
	d := definitions(members)
	request := d.properties(d.get("ExecutionRequest"))
	schema := Schema{
		Inputs:     d.tables(request.get("Inputs")),
		Parameters: d.columns(request.get("GlobalParameters")),
	}
	for _, name := range []string{"ExecutionResponse", "ExecutionResults"} {
		if results := d.properties(d.get(name)).get("Results"); results != nil && len(schema.Outputs) == 0 {
			schema.Outputs = d.tables(results)
		}
	}
	d.byName(&schema)
	return schema, nil
}

// object is a JSON object with its members in order, which a map would lose and columns need.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// UnmarshalJSON reads the members in order. What is no object has none: an error here would end the reading of all that
// stands around it.
func (o *object) UnmarshalJSON(b []byte) error {
	s := &scanner{b: b}
	if s.peek() != '{' {
		return nil
	}
	return s.object(func(name string) error {
		raw, err := s.skip()
		*o = append(*o, member{name, raw})
		return err
	})
}

func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// node is the part of a Swagger schema that matters here.
type node struct {
	Ref        string            `json:"$ref"`
	Type       json.RawMessage   `json:"type"`
	Format     string            `json:"format"`
	Nullable   bool              `json:"x-ms-isnullable"`
	NullableV3 bool              `json:"x-nullable"`
	Enum       []json.RawMessage `json:"enum"`
	Properties object            `json:"properties"`
	Items      json.RawMessage   `json:"items"`
	Example    struct {
		Inputs object `json:"Inputs"`
	} `json:"example"`
}

// definitions is a Swagger document's definitions.
type definitions object

func (d definitions) get(name string) json.RawMessage { return object(d).get(name) }

// node reads a schema and follows its references, a few at most: a document may refer in circles.
func (d definitions) node(raw json.RawMessage) node {
	for range 8 {
		var n node
		// A member of another type than expected leaves the rest readable, which is all that is wanted here.
		_ = json.Unmarshal(raw, &n)
		name, ok := strings.CutPrefix(n.Ref, "#/definitions/")
		if !ok {
			return n
		}
		raw = d.get(name)
	}
	return node{}
}

func (d definitions) properties(raw json.RawMessage) object {
	if raw == nil {
		return nil
	}
	return d.node(raw).Properties
}

// tables reads an object whose properties are arrays of row objects.
func (d definitions) tables(raw json.RawMessage) []TableSchema {
	var list []TableSchema
	for _, m := range d.properties(raw) {
		list = append(list, TableSchema{Name: m.name, Columns: d.columns(d.node(m.value).Items)})
	}
	return list
}

// columns reads an object whose properties are columns.
func (d definitions) columns(raw json.RawMessage) []ColumnSchema {
	var list []ColumnSchema
	for _, m := range d.properties(raw) {
		n := d.node(m.value)
		c := ColumnSchema{Name: m.name, Format: n.Format, Nullable: n.Nullable || n.NullableV3}
		_ = json.Unmarshal(n.Type, &c.Type)
		for _, e := range n.Enum {
			if string(e) == "null" {
				c.Nullable = true // a missing cell is no value
				continue
			}
			var text string
			if json.Unmarshal(e, &text) != nil {
				text = string(e)
			}
			c.Enum = append(c.Enum, text)
		}
		list = append(list, c)
	}
	return list
}

// byName fills inputs and outputs that the document's structure did not lead to from the names of its definitions.
func (d definitions) byName(schema *Schema) {
	var inputs []string
	if raw := d.get("ExecutionRequest"); raw != nil {
		for _, m := range d.node(raw).Example.Inputs {
			inputs = append(inputs, m.name)
		}
	}
	findInputs, findOutputs := len(schema.Inputs) == 0, len(schema.Outputs) == 0
	for _, m := range d {
		name, ok := strings.CutSuffix(m.name, "Item")
		if !ok {
			continue
		}
		table := TableSchema{Name: name, Columns: d.columns(m.value)}
		switch isInput := slices.Contains(inputs, name) || strings.HasPrefix(name, "input"); {
		case isInput && findInputs:
			schema.Inputs = append(schema.Inputs, table)
		case !isInput && findOutputs && strings.HasPrefix(name, "output"):
			schema.Outputs = append(schema.Outputs, table)
		}
	}
}

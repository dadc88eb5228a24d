package api

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
)

// requestTables returns the inputs by name, ready to be written. Vectors are shared with the message, not copied.
func requestTables(input *v1.ScoringInput) []azureml.Table {
	tables := make([]azureml.Table, 0, len(input.GetInputs()))
	for name, table := range input.GetInputs() {
		t := azureml.Table{Name: name, Rows: int(table.GetRowCount()), Columns: make([]azureml.Column, len(table.GetColumns()))}
		for i, c := range table.GetColumns() {
			t.Columns[i] = azureml.Column{Name: c.GetName(), Missing: c.GetMissing()}
			to := &t.Columns[i]
			switch values := c.GetValues().(type) {
			case *v1.Column_Doubles:
				to.Vector, to.Doubles = azureml.Doubles, values.Doubles.GetValues()
			case *v1.Column_Int64S:
				to.Vector, to.Int64s = azureml.Int64s, values.Int64S.GetValues()
			case *v1.Column_Strings:
				to.Vector, to.Strings = azureml.Strings, values.Strings.GetValues()
			case *v1.Column_Bools:
				to.Vector, to.Bools = azureml.Bools, values.Bools.GetValues()
			}
		}
		tables = append(tables, t)
	}
	slices.SortFunc(tables, func(a, b azureml.Table) int { return strings.Compare(a.Name, b.Name) })
	return tables
}

// parameters returns the global parameters as plain values.
func parameters(values map[string]*structpb.Value) map[string]any {
	m := make(map[string]any, len(values))
	for name, value := range values {
		m[name] = plain(value)
	}
	return m
}

// plain returns a Value as what it stands for; one without a kind is null. Value's own AsInterface turns NaN into a
// text, which would be sent instead of refused.
func plain(value *structpb.Value) any {
	switch kind := value.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return kind.BoolValue
	case *structpb.Value_NumberValue:
		return kind.NumberValue
	case *structpb.Value_StringValue:
		return kind.StringValue
	case *structpb.Value_ListValue:
		list := make([]any, len(kind.ListValue.GetValues()))
		for i, v := range kind.ListValue.GetValues() {
			list[i] = plain(v)
		}
		return list
	case *structpb.Value_StructValue:
		m := make(map[string]any, len(kind.StructValue.GetFields()))
		for name, v := range kind.StructValue.GetFields() {
			m[name] = plain(v)
		}
		return m
	}
	return nil
}

// output returns the answer's tables as a message, which takes over their vectors.
func output(tables []azureml.Table) *v1.ScoringOutput {
	out := &v1.ScoringOutput{Results: make(map[string]*v1.Table, len(tables))}
	for i := range tables {
		t := &tables[i]
		table := &v1.Table{Columns: make([]*v1.Column, len(t.Columns)), RowCount: uint32(t.Rows)}
		for j := range t.Columns {
			c := &t.Columns[j]
			column := &v1.Column{Name: c.Name, Type: c.Type, Missing: c.Missing}
			switch c.Vector {
			case azureml.Doubles:
				column.Values = &v1.Column_Doubles{Doubles: &v1.Doubles{Values: c.Doubles}}
			case azureml.Int64s:
				column.Values = &v1.Column_Int64S{Int64S: &v1.Int64S{Values: c.Int64s}}
			case azureml.Strings:
				column.Values = &v1.Column_Strings{Strings: &v1.Strings{Values: c.Strings}}
			case azureml.Bools:
				column.Values = &v1.Column_Bools{Bools: &v1.Bools{Values: c.Bools}}
			}
			table.Columns[j] = column
		}
		out.Results[t.Name] = table
	}
	return out
}

// schemaMessage returns a service's description as a message.
func schemaMessage(document []byte, schema azureml.Schema) *v1.GetServiceSchemaResponse {
	tables := func(list []azureml.TableSchema) map[string]*v1.TableSchema {
		m := make(map[string]*v1.TableSchema, len(list))
		for _, t := range list {
			m[t.Name] = &v1.TableSchema{Columns: schemaColumns(t.Columns)}
		}
		return m
	}
	return &v1.GetServiceSchemaResponse{
		SwaggerJson:      document,
		Inputs:           tables(schema.Inputs),
		Outputs:          tables(schema.Outputs),
		GlobalParameters: &v1.TableSchema{Columns: schemaColumns(schema.Parameters)},
	}
}

func schemaColumns(list []azureml.ColumnSchema) []*v1.ColumnSchema {
	columns := make([]*v1.ColumnSchema, len(list))
	for i, c := range list {
		columns[i] = &v1.ColumnSchema{Name: c.Name, Type: c.Type, Format: c.Format, Nullable: c.Nullable, EnumValues: c.Enum}
	}
	return columns
}

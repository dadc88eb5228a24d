package emulator

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object that keeps its order. The order matters: the R
// package takes the columns' order from that of the properties and the execute
// path from the second entry of paths.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(marshal(m.name))
		out.WriteByte(':')
		out.Write(marshal(m.value))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func ref(definition string) object { return object{{"$ref", "#/definitions/" + definition}} }

// document is the service's swagger.json. No original is known to survive;
// this is a Swagger 2.0 document with the names and shapes that clients are
// known to read. It has no host, so it is right wherever the emulator listens.
func (s *service) document(workspace string) []byte {
	return marshal(object{
		{"swagger", "2.0"},
		{"info", object{{"version", "2.0"}, {"title", s.id}, {"description", s.description}}},
		{"basePath", "/workspaces/" + workspace + "/services/" + s.id},
		{"consumes", []string{"application/json"}},
		{"produces", []string{"application/json"}},
		{"paths", paths()},
		{"definitions", s.definitions()},
		{"securityDefinitions", object{{"Bearer", object{
			{"type", "apiKey"}, {"name", "Authorization"}, {"in", "header"},
			{"description", "The word Bearer, a blank and the API key."},
		}}}},
	})
}

func paths() object {
	failure := object{{"description", "Why the request was refused."}, {"schema", ref("ErrorResponse")}}
	answer := func(description string, schema object) object {
		return object{
			{"200", object{{"description", description}, {"schema", schema}}},
			{"default", failure},
		}
	}
	bearer := []object{{{"Bearer", []string{}}}}
	jobParameter := object{
		{"name", "jobId"}, {"in", "path"}, {"required", true}, {"type", "string"},
		{"description", "The id that submitting answered."},
	}
	return object{
		{"/swagger.json", object{{"get", object{
			{"summary", "This document. No key is asked for."},
			{"operationId", "getSwaggerDocument"},
			{"security", []object{}},
			{"responses", answer("A Swagger 2.0 document.", object{{"type", "object"}})},
		}}}},
		{"/execute?api-version=2.0&format=swagger", object{{"post", object{
			{"summary", "Score the rows of the request and answer at once."},
			{"operationId", "execute"},
			{"security", bearer},
			{"parameters", []object{{
				{"name", "executionPayload"}, {"in", "body"}, {"required", true},
				{"description", "The rows to score and the global parameters."},
				{"schema", ref("ExecutionRequest")},
			}}},
			{"responses", answer("The results. Every cell is a string or null; the type in the schema says what it holds.", ref("ExecutionResults"))},
		}}}},
		{"/jobs?api-version=2.0", object{{"post", object{
			{"summary", "Submit a batch job. Nothing runs before it is started."},
			{"operationId", "submitJob"},
			{"security", bearer},
			{"parameters", []object{{
				{"name", "batchExecutionPayload"}, {"in", "body"}, {"required", true},
				{"description", "Where the input is and where the outputs go."},
				{"schema", ref("BatchExecutionRequest")},
			}}},
			{"responses", answer("The id of the job, as a JSON string.", object{{"type", "string"}})},
		}}}},
		{"/jobs/{jobId}/start?api-version=2.0", object{{"post", object{
			{"summary", "Start a job, once."},
			{"operationId", "startJob"},
			{"security", bearer},
			{"parameters", []object{jobParameter}},
			{"responses", object{{"200", object{{"description", "The job was started; the body is empty."}}}, {"default", failure}}},
		}}}},
		{"/jobs/{jobId}?api-version=2.0", object{
			{"get", object{
				{"summary", "The status of a job, and its results once it finished."},
				{"operationId", "getJob"},
				{"security", bearer},
				{"parameters", []object{jobParameter}},
				{"responses", answer("The status.", ref("BatchScoreStatus"))},
			}},
			{"delete", object{
				{"summary", "Cancel a job that has not ended, or remove one that has."},
				{"operationId", "deleteJob"},
				{"security", bearer},
				{"parameters", []object{jobParameter}},
				{"responses", object{{"204", object{{"description", "Done."}}}, {"default", failure}}},
			}},
		}},
	}
}

func (s *service) definitions() object {
	outputs, items := object{}, object{{s.input.name + "Item", s.input.schema()}}
	for i := range s.outputs {
		p := &s.outputs[i]
		outputs = append(outputs, member{p.name, p.rowsSchema()})
		items = append(items, member{p.name + "Item", p.schema()})
	}
	all := object{
		{"ExecutionRequest", object{
			{"type", "object"},
			{"required", []string{"Inputs"}},
			{"properties", object{{"Inputs", ref("ExecutionInputs")}, {"GlobalParameters", ref("GlobalParameters")}}},
			{"example", s.example()},
		}},
		{"ExecutionInputs", object{
			{"type", "object"},
			{"required", []string{s.input.name}},
			{"properties", object{{s.input.name, s.input.rowsSchema()}}},
		}},
		{"ExecutionResults", object{
			{"type", "object"},
			{"properties", object{{"Results", ref("ExecutionOutputs")}}},
		}},
		{"ExecutionOutputs", object{{"type", "object"}, {"properties", outputs}}},
		{"GlobalParameters", s.parametersSchema()},
	}
	all = append(append(all, items...), s.batchSchemas()...)
	return append(all, errorSchemas()...)
}

// rowsSchema is that of a port, in the form of format=swagger.
func (p *port) rowsSchema() object {
	return object{{"type", "array"}, {"items", ref(p.name + "Item")}}
}

// schema is that of a row: every column is there, though most cells may be
// null.
func (p *port) schema() object {
	properties, required := object{}, []string{}
	for i := range p.columns {
		c := &p.columns[i]
		properties = append(properties, member{c.name, append(c.schema(), member{"x-ms-isnullable", !c.present})})
		required = append(required, c.name)
	}
	return object{{"type", "object"}, {"required", required}, {"properties", properties}}
}

func (s *service) parametersSchema() object {
	properties, required := object{}, []string{}
	for i := range s.parameters {
		p := &s.parameters[i]
		schema := p.column.schema()
		if p.fallback == "" {
			required = append(required, p.name)
		} else {
			schema = append(schema, member{"default", json.RawMessage(p.fallback)})
		}
		properties = append(properties, member{p.name, schema})
	}
	schema := object{{"type", "object"}}
	if len(required) > 0 { // an empty list is not valid
		schema = append(schema, member{"required", required})
	}
	return append(schema, member{"properties", properties})
}

// schema is that of a cell: the vocabulary of the service's ARM-era schemas.
func (c *column) schema() object {
	var schema object
	switch c.typ {
	case typeInt32:
		schema = object{{"type", "integer"}, {"format", "int32"}}
	case typeDouble:
		schema = object{{"type", "number"}, {"format", "double"}}
	case typeBoolean:
		schema = object{{"type", "boolean"}}
	default:
		schema = object{{"type", "string"}}
	}
	schema = append(schema, member{"description", c.description})
	if c.categories != nil {
		schema = append(schema, member{"enum", c.categories})
	}
	if c.min != c.max {
		schema = append(schema, member{"minimum", c.min}, member{"maximum", c.max})
	}
	return schema
}

// example is a request that works. The R package reads the input's columns and
// their types from it, so the values are typed and the rows an array.
func (s *service) example() object {
	row, parameters := object{}, object{}
	for _, c := range s.input.columns {
		row = append(row, member{c.name, json.RawMessage(c.sample)})
	}
	for _, p := range s.parameters {
		parameters = append(parameters, member{p.name, json.RawMessage(p.sample)})
	}
	return object{
		{"Inputs", object{{s.input.name, []object{row}}}},
		{"GlobalParameters", parameters},
	}
}

// batchSchemas are those of batch jobs, in the newer of their two forms.
func (s *service) batchSchemas() object {
	text := object{{"type", "string"}}
	nullable := object{{"type", "string"}, {"x-ms-isnullable", true}}
	blobs := func(names ...string) object {
		properties := object{}
		for _, name := range names {
			properties = append(properties, member{name, ref("BlobReference")})
		}
		return object{{"type", "object"}, {"properties", properties}}
	}
	var outputs []string
	for i := range s.outputs {
		outputs = append(outputs, s.outputs[i].name)
	}
	return object{
		{"BatchExecutionRequest", object{
			{"type", "object"},
			{"required", []string{"Inputs"}},
			{"properties", object{{"Inputs", blobs(s.input.name)}, {"Outputs", blobs(outputs...)}, {"GlobalParameters", ref("GlobalParameters")}}},
		}},
		{"BlobReference", object{
			{"type", "object"},
			{"description", "A blob, by ConnectionString and RelativeLocation, or by the URL that BaseLocation, RelativeLocation and SasBlobToken make one behind the other. Its name ends in .csv or .tsv."},
			{"properties", object{{"ConnectionString", nullable}, {"RelativeLocation", nullable}, {"BaseLocation", nullable}, {"SasBlobToken", nullable}}},
		}},
		{"BatchScoreStatus", object{
			{"type", "object"},
			{"required", []string{"StatusCode", "Results", "Details", "CreatedAt", "StartTime", "EndTime"}},
			{"properties", object{
				{"StatusCode", object{{"type", "string"}, {"enum", []state{stateNotStarted, stateRunning, stateFailed, stateCancelled, stateFinished}}}},
				{"Results", append(blobs(outputs...), member{"x-ms-isnullable", true})},
				{"Details", nullable},
				{"CreatedAt", text}, {"StartTime", text}, {"EndTime", text},
			}},
		}},
	}
}

func errorSchemas() object {
	text := object{{"type", "string"}}
	return object{
		{"ErrorResponse", object{
			{"type", "object"},
			{"required", []string{"error"}},
			{"properties", object{{"error", ref("Error")}}},
		}},
		{"Error", object{
			{"type", "object"},
			{"required", []string{"code", "message", "details"}},
			{"properties", object{
				{"code", text}, {"message", text},
				{"details", object{{"type", "array"}, {"minItems", 1}, {"items", ref("ErrorDetail")}}},
			}},
		}},
		{"ErrorDetail", object{
			{"type", "object"},
			{"required", []string{"code", "message"}},
			{"properties", object{{"code", text}, {"target", text}, {"message", text}}},
		}},
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is a document as the plugin might write it, with members in no alphabetical order.
const small = `{
  "openapi": "3.1.0",
  "paths": {
    "/b": {"get": {"operationId": "B", "parameters": [{"name": "id", "schema": {"type": "string"}}],
      "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Old"}}}}}}},
    "/a": {"get": {"operationId": "A", "parameters": [{"name": "id", "schema": {"type": "string"}}, {"name": "k"}],
      "responses": {"200": {"description": "<ok> & \"done\""}}}}
  },
  "components": {"schemas": {"Old": {"$ref": "#/components/schemas/Older"}, "Older": {"maximum": 1.50}}}
}`

const smallComponents = `
headers:
  New: {schema: {$ref: '#/components/schemas/New'}}
schemas:
  New: {type: 'null'}
`

const smallEdits = `
- of: [operations]
  edits:
    - replace: /parameters/id/schema
      was: {type: string}
      with: {pattern: x, type: string}
- of: [B]
  edits:
    - replace: /parameters/id/schema/pattern
      was: x
      with: y
    - replace: /responses/200/content/application~1json
      was: {schema: {$ref: '#/components/schemas/Old'}}
      with: {schema: {type: integer, maximum: 7}}
- of: [A]
  edits:
    - remove: /responses/200
      was: {description: '<ok> & "done"'}
    - remove: /parameters/k
      was: {name: k}
    - add: /responses/204
      with: {headers: {n: {$ref: '#/components/headers/New'}}}
- of: [document]
  edits:
    - add: /security
      with: [{}, yes]
`

const smallPatched = `{
  "openapi": "3.1.0",
  "paths": {
    "/b": {
      "get": {
        "operationId": "B",
        "parameters": [
          {
            "name": "id",
            "schema": {
              "pattern": "y",
              "type": "string"
            }
          }
        ],
        "responses": {
          "200": {
            "content": {
              "application/json": {
                "schema": {
                  "type": "integer",
                  "maximum": 7
                }
              }
            }
          }
        }
      }
    },
    "/a": {
      "get": {
        "operationId": "A",
        "parameters": [
          {
            "name": "id",
            "schema": {
              "pattern": "x",
              "type": "string"
            }
          }
        ],
        "responses": {
          "204": {
            "headers": {
              "n": {
                "$ref": "#/components/headers/New"
              }
            }
          }
        }
      }
    }
  },
  "components": {
    "schemas": {
      "New": {
        "type": "null"
      }
    },
    "headers": {
      "New": {
        "schema": {
          "$ref": "#/components/schemas/New"
        }
      }
    }
  },
  "security": [
    {},
    "yes"
  ]
}
`

// TestPatch makes every kind of edit. Members keep their order, what is edited for all operations can differ for one,
// and a chain of schemas that only served each other is gone.
func TestPatch(t *testing.T) {
	got, err := patch([]byte(small), []byte(smallEdits), []byte(smallComponents))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(smallPatched, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestPatchRefuses names the place that is not as the edits say.
func TestPatchRefuses(t *testing.T) {
	for _, test := range []struct {
		name, from, to string // what is different in the small document, its edits or its components
		want           string
	}{
		{"no parameter", `"name": "id", "schema": {"type": "string"}}, {"name": "k"`, `"name": "k"`,
			`A: /parameters/id/schema: the document has no such place (no "id")`},
		{"another schema", `{"type": "string"}`, `{"type": "string", "format": "uuid"}`,
			`B: /parameters/id/schema: edits.yaml expects there {"type":"string"}, ` +
				`the document has {"type":"string","format":"uuid"}`},
		{"another media type", `"application/json": {"schema": {"$ref"`, `"application/problem+json": {"schema": {"$ref"`,
			`B: /responses/200/content/application~1json: the document has no such place (no "application/json")`},
		{"another operation", `"operationId": "A"`, `"operationId": "Service_A"`, "A: the document has no such operation"},
		{"a path without an operation", `"operationId": "A", `, ``, "get /a: /operationId: the document has no such place"},
		{"no paths", `"paths"`, `"webhooks"`, "/paths: the document has no such place"},
		{"nothing to remove", `remove: /responses/200`, `remove: /responses/202`,
			`A: /responses/202: the document has no such place (no "202")`},
		{"added already", `add: /responses/204`, `add: /parameters`, "A: /parameters: the document has that already"},
		{"added to nothing", `add: /responses/204`, `add: /replies/204`,
			`A: /replies/204: the document has no such place (no "replies")`},
		{"added to a list", `add: /responses/204`, `add: /parameters/it`,
			"A: /parameters/it: cannot be added to what is no object"},
		{"a component's name is taken", `{"Old": `, `{"New": {}, "Old": `,
			"azureml.yaml: /components/schemas/New: the document has that already"},
		{"a reference to nowhere", `'#/components/schemas/New'`, `'#/components/schemas/Newer'`,
			`$ref /components/schemas/Newer: the document has no such place`},
		{"an edit without was", `      was: x
`, ``, "[B] /parameters/id/schema/pattern: an edit is replace"},
		{"an edit of two kinds", `add: /security`, `{add: /security, remove: /security}`, "edits.yaml: "},
		{"a misspelt member", `with: y`, `wiht: y`, "field wiht not found"},
		{"what JSON lacks", `[{}, yes]`, `[2016-10-14]`, "2016-10-14 has the type !!timestamp, which JSON lacks"},
		{"a number that JSON lacks", `[{}, yes]`, `[0x10]`, "0x10 is not JSON"},
		{"no document", small, ``, "the merged document: empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inputs := []string{small, smallEdits, smallComponents}
			var changes int
			for i, input := range inputs {
				changes += strings.Count(input, test.from)
				inputs[i] = strings.ReplaceAll(input, test.from, test.to)
			}
			if changes == 0 {
				t.Fatalf("the table is stale: nothing holds %q", test.from)
			}
			_, err := patch([]byte(inputs[0]), []byte(inputs[1]), []byte(inputs[2]))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

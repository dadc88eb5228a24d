package emulator

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is what the clients read of swagger.json, and what keeps it valid.
type document struct {
	Swagger  string
	Host     *string
	BasePath string
	Info     struct{ Title, Version string }
	Paths    json.RawMessage

	Definitions map[string]struct {
		Type       string
		Required   []string
		Properties json.RawMessage
		Example    json.RawMessage
	}
	SecurityDefinitions map[string]struct{ Type, Name, In string }
}

func fetchDocument(t *testing.T, e *Emulator, path string) (document, string) {
	t.Helper()
	// The R package sends no key here.
	w := send(e, httptest.NewRequest("GET", path+"/swagger.json", nil))
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	return d, w.Body.String()
}

// names returns the members of an object in the order of its text.
func names(text json.RawMessage) []string {
	c := &cursor{text: string(text)}
	c.kind()
	var all []string
	for name := range c.members() {
		all = append(all, name)
		c.skip()
	}
	return all
}

func columnNames(columns []column) []string {
	var all []string
	for _, c := range columns {
		all = append(all, c.name)
	}
	return all
}

func TestSwagger(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{Workspace: "w-1"})
	for id, s := range e.services {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			path := "/workspaces/w-1/services/" + id
			d, text := fetchDocument(t, e, path)
			if d.Swagger != "2.0" || d.Host != nil || d.BasePath != path || d.Info.Title != id || d.Info.Version != "2.0" {
				t.Errorf("head: %+v", d)
			}
			if bearer := d.SecurityDefinitions["Bearer"]; bearer.Type != "apiKey" || bearer.Name != "Authorization" || bearer.In != "header" {
				t.Errorf("securityDefinitions: %+v", d.SecurityDefinitions)
			}
			// The second path is what the R package takes.
			if got := names(d.Paths); !slices.Equal(got, []string{"/swagger.json", "/execute?api-version=2.0&format=swagger",
				"/jobs?api-version=2.0", "/jobs/{jobId}/start?api-version=2.0", "/jobs/{jobId}?api-version=2.0"}) {
				t.Errorf("paths: %q", got)
			}
			if !strings.Contains(text, `"/execute?api-version=2.0&format=swagger":`) {
				t.Error("the path is escaped")
			}
			for _, reference := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllStringSubmatch(text, -1) {
				if _, known := d.Definitions[strings.TrimPrefix(reference[1], "#/definitions/")]; !known {
					t.Errorf("%s is not defined", reference[1])
				}
			}
			if got := names(d.Definitions["input1Item"].Properties); !slices.Equal(got, columnNames(s.input.columns)) {
				t.Errorf("input1Item: %q", got)
			}
			for _, p := range s.outputs {
				if got := names(d.Definitions[p.name+"Item"].Properties); !slices.Equal(got, columnNames(p.columns)) {
					t.Errorf("%sItem: %q", p.name, got)
				}
			}
			// HEAD has the same length and no body.
			w := send(e, httptest.NewRequest("HEAD", path+"/swagger.json", nil))
			if w.Code != 200 || w.Body.Len() != 0 || w.Result().ContentLength != int64(len(text)) {
				t.Errorf("HEAD: status %d, %d of %d bytes", w.Code, w.Body.Len(), w.Result().ContentLength)
			}
		})
	}
}

// The example is typed, complete, in order, and a request that works: its
// answer has the columns that the document promises.
func TestSwaggerExample(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	for path, wantLabel := range map[string]string{hashingPath: `"Col2_HashingFeature.7":"1"`, riskPath: `"Scored Labels":"False"`} {
		d, _ := fetchDocument(t, e, path)
		example := d.Definitions["ExecutionRequest"].Example
		var request struct {
			Inputs struct {
				Input1 []json.RawMessage `json:"input1"`
			}
		}
		if err := json.Unmarshal(example, &request); err != nil || len(request.Inputs.Input1) != 1 {
			t.Fatalf("example %s: %v", example, err)
		}
		if got, want := names(request.Inputs.Input1[0]), names(d.Definitions["input1Item"].Properties); !slices.Equal(got, want) {
			t.Errorf("example has %q, want %q", got, want)
		}
		w := execute(e, path, "api-version=2.0&details=true&format=swagger", string(example))
		var answer struct{ Results map[string][]json.RawMessage }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || !strings.Contains(w.Body.String(), wantLabel) {
			t.Fatalf("status %d (%v): %s", w.Code, err, w.Body)
		}
		for output, rows := range answer.Results {
			if got, want := names(rows[0]), names(d.Definitions[output+"Item"].Properties); !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", output, got, want)
			}
		}
	}
}

// Types, ranges, categories and defaults, as text: this is what the R package
// and the portal read.
func TestSwaggerTypes(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{})
	_, text := fetchDocument(t, e, riskPath)
	for _, want := range []string{
		`"Sex":{"type":"string","description":"The sex the coefficients are chosen by.","enum":["male","female"],"x-ms-isnullable":true}`,
		`"Age":{"type":"integer","format":"int32","description":"Years, 30 to 74 as in the study.","minimum":30,"maximum":74,"x-ms-isnullable":true}`,
		`"Smoker":{"type":"boolean","description":"Whether the person smokes.","x-ms-isnullable":true}`,
		`"Scored Probabilities":{"type":"number","format":"double",`,
		`"High risk rows":{"type":"integer","format":"int32","description":"How many of them were labelled.","x-ms-isnullable":false}`,
		`"GlobalParameters":{"type":"object","properties":{"High risk threshold":{"type":"number","format":"double","description":"The risk from which a row is labelled.","minimum":0,"maximum":1,"default":0.2}}}`,
		`"example":{"Inputs":{"input1":[{"Sex":"female","Age":61,"TotalCholesterol":180,`,
		`not medical advice`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	_, text = fetchDocument(t, e, hashingPath)
	if want := `"GlobalParameters":{"type":"object","properties":{}}`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	required := service{parameters: []parameter{{column: column{name: "Seed", typ: typeInt32}}}}
	const want = `{"type":"object","required":["Seed"],"properties":{"Seed":{"type":"integer","format":"int32","description":""}}}`
	if got := string(marshal(required.parametersSchema())); got != want {
		t.Errorf("got %s", got)
	}
}

package emulator

import (
	"strings"
	"testing"
)

func refusedArgument(code, message string) refusal {
	return refusal{400, "BadArgument", badArgumentText, code, message}
}

var (
	refusedBlobName  = refusedArgument("InputBlobRelativeLocationInvalid", "No Azure storage blob name provided. Provide a valid blob name and try again.")
	refusedContainer = refusedArgument("ContainerSegmentInvalid", "Invalid container name. Provide a valid container name and try again.")
	refusedNoBlob    = refusedArgument("MissingInputBlobInformation",
		"Missing Azure storage blob information. Provide a valid connection string and relative path or URI and try again.")
	refusedTwoInputs = refusedArgument("DuplicateInputInBatchCall",
		"The batch request is invalid. Cannot specify both single and multiple input at the same time. Remove one of these items from the request and try again.")
	refusedManyInputs = refusedArgument("BatchJobInputsTooManySpecified",
		"The request specified more inputs than defined in the service. List of accepted input(s): input1. Please ensure all input data is specified correctly and try again.")
	refusedNullInput = refusedArgument("BatchJobInputsNotSpecified",
		"The following required input(s) were not specified with the request: input1. Please ensure all input data is specified and try again.")
	refusedNoEndpoint = refusal{400, "InvalidOperation", "The request is invalid in the current context.", "BlobEndpointNotConfigured",
		"The emulator has no blob endpoint of its own, so it can run only jobs whose input and outputs are all at hosts that --allow-blob-host names."}
)

func refusedOutput(name string) refusal {
	return refusedArgument("InvalidOutputOverrideName",
		"Invalid output override name: "+name+". The service does not have an output node with this name. Please pass in a correct output node name to override (case sensitivity applies).")
}

func refusedOverride(output string) refusal {
	return refusedArgument("MissingOutputOverrideSpecification",
		"The request is missing the blob specification for output override "+output+". Please specify a valid blob location with the request, or remove the output specification if no location override is desired.")
}

func refusedExtension(blob string) refusal {
	return refusedArgument("InvalidBlobExtension",
		"The blob reference: "+blob+` has an invalid or missing file extension. Supported file extensions for this output type are: ".csv, .tsv".`)
}

func refusedConnection(reason string) refusal {
	return refusedArgument("InvalidBlobConnectionString",
		"The connection string specified for one of the input/output blobs in invalid: "+reason+". Please correct this and try again.")
}

func refusedBlob(blob, reason string) refusal {
	return refusedArgument("InvalidBlob",
		"Invalid blob specification for blob: "+blob+". Verify that connection string / relative path or SAS token specification is correct and try again. Reason: "+reason+".")
}

// Both generations of bodies, and everything null or absent that may be.
func TestOrders(t *testing.T) {
	in, out := byAccount("/data/in.csv"), byAccount("data/out.csv")
	bodies := map[string]string{
		"2015":                       `{"Input":` + in + `,"Output":` + out + `,"GlobalParameters":null}`,
		"2015 with nulls":            `{"Input":` + in + `,"Output":null,"Inputs":null,"Outputs":null}`,
		"2015 with empty maps":       `{"Input":` + in + `,"Inputs":{},"Outputs":{},"Output":{},"GlobalParameters":{}}`,
		"the guide's":                `{"Input":{"ConnectionString":"` + development + `","RelativeLocation":"/data/in.csv"},"Outputs":{"output1":` + out + `},"GlobalParameters":{}}`,
		"2016":                       `{"Inputs":{"input1":` + in + `},"Outputs":{"output1":` + out + `},"GlobalParameters":{}}`,
		"2016 without the rest":      `{"Inputs":{"input1":` + in + `}}`,
		"null input beside":          `{"Input":null,"Inputs":{"input1":` + in + `},"GlobalParameters":[]}`,
		"null output":                `{"Inputs":{"input1":` + in + `},"Outputs":{"output1":null}}`,
		"arrays of PHP":              `{"Inputs":{"input1":` + in + `},"Outputs":[],"Input":[],"GlobalParameters":[]}`,
		"Batch pool and more":        `{"AzureBatchPoolId":"` + unknown + `","more":[{}],"Inputs":{"input1":` + in + `}}`,
		"byte order mark":            "\xef\xbb\xbf" + goodOrder,
		"development storage":        `{"Input":{"ConnectionString":"UseDevelopmentStorage=true","RelativeLocation":"data/in.csv"}}`,
		"odd connection string":      `{"Input":{"ConnectionString":" accountkey = ` + developmentKey + ` ; ACCOUNTNAME=devstoreaccount1;;QueueEndpoint=http://other/;","RelativeLocation":"data/in.csv"}}`,
		"another protocol and sufix": `{"Input":{"ConnectionString":"` + development + `;EndpointSuffix=core.windows.net","RelativeLocation":"data/in.csv"}}`,
		"own endpoint by name":       `{"Input":{"ConnectionString":"` + development + `;BlobEndpoint=https://127.0.0.1:10000/devstoreaccount1","RelativeLocation":"data/in.csv"}}`,
		"upper-case extension":       `{"Input":` + in + `,"Output":` + byAccount("data/OUT.CSV") + `}`,
	}
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		for name, body := range bodies {
			id := b.started(body)
			b.wantState("Finished", id)
			a := b.status(id)
			if a.StatusCode == "Failed" {
				t.Fatalf("%s: %s", name, *a.Details)
			}
			if status, text := b.fetch(a, "output1", b.runner.storage.near.Transport); status != 200 || text != goodOutput {
				t.Errorf("%s: the result is %d %q", name, status, text)
			}
		}
	})
}

// Refusals of submit, each in the words of the table.
func TestBadOrders(t *testing.T) {
	t.Parallel()
	in := byAccount("data/in.csv")
	input := func(path string) string { return `{"Input":` + byAccount(path) + `}` }
	output := func(ref string) string {
		return `{"Inputs":{"input1":` + in + `},"Outputs":{"output1":` + ref + `}}`
	}
	e := mustNew(t, Config{BlobURL: blobURL})
	for _, tt := range []struct {
		name, body string
		want       refusal
	}{
		{"nothing", "", refusedBody("Byte 0: the body is empty.")},
		{"no JSON", "{", refusedBody("Byte 1: the JSON ends too early.")},
		{"no object", "[]", refusedBody("Byte 0: the request must be an object.")},
		{"member twice", `{"Input":null,"Input":null}`, refusedBody("Byte 22: Input is given twice.")},
		{"no input", `{}`, refusedNoInput},
		{"null inputs", `{"Input":null,"Inputs":null,"Outputs":null,"GlobalParameters":null}`, refusedNoInput},
		{"empty inputs", `{"Inputs":{}}`, refusedNoInput},
		{"misspelt", `{"inputs":{"input1":` + in + `}}`, refusedNoInput},
		{"null input", `{"Inputs":{"input1":null}}`, refusedNullInput},
		{"both", `{"Input":` + in + `,"Inputs":{"input1":` + in + `}}`, refusedTwoInputs},
		{"unknown input", `{"Inputs":{"input2":` + in + `}}`, refusedNames("input2")},
		{"case of the input", `{"Inputs":{"Input1":` + in + `}}`, refusedNames("Input1")},
		{"null of unknown input", `{"Inputs":{"input2":null}}`, refusedNames("input2")},
		{"two inputs", `{"Inputs":{"input1":` + in + `,"input2":` + in + `}}`, refusedManyInputs},
		{"input twice", `{"Inputs":{"input1":null,"input1":null}}`, refusedBody("Byte 34: input1 is given twice.")},
		{"inputs as an array", `{"Inputs":[1]}`, refusedBody("Byte 10: Inputs must be an object.")},
		{"input as a text", `{"Inputs":{"input1":"x"}}`, refusedBody("Byte 20: input1 must be an object that says where a blob is.")},
		{"Input as a text", `{"Input":"x"}`, refusedBody("Byte 9: Input must be an object that says where a blob is.")},
		{"inline data", `{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["a"]]}}}`, refusedNoBlob},
		{"empty texts", `{"Input":{"ConnectionString":"","RelativeLocation":""}}`, refusedNoBlob},
		{"path alone", `{"Input":{"RelativeLocation":"data/in.csv"}}`, refusedNoBlob},
		{"token alone", `{"Input":{"SasBlobToken":"?sig=a"}}`, refusedNoBlob},
		{"number as a path", `{"Input":{"RelativeLocation":1}}`, refusedBody("Byte 9: RelativeLocation of Input must be a text.")},
		{"long path", input(strings.Repeat("a", 9000)), refusedBody("Byte 9: RelativeLocation of Input is longer than 8192 bytes.")},
		{"path twice", `{"Input":{"RelativeLocation":"a","RelativeLocation":"a"}}`, refusedBody("Byte 52: RelativeLocation is given twice.")},

		{"no path", `{"Input":{"ConnectionString":"` + development + `"}}`, refusedBlobName},
		{"container alone", input("/data"), refusedBlobName},
		{"container and slash", input("/data/"), refusedBlobName},
		{"no container", input("//in.csv"), refusedArgument("ContainerIsEmpty", "No Azure storage container name was provided. Provide a valid container name and try again.")},
		{"upper-case container", input("Data/in.csv"), refusedContainer},
		{"short container", input("da/in.csv"), refusedContainer},
		{"container of dots", input("../data/in.csv"), refusedContainer},
		{"dots in the path", input("data/../in.csv"), refusedBlob("data/../in.csv", "its path has a segment of dots")},
		{"long name", input("data/" + strings.Repeat("n", 1025) + ".csv"), refusedArgument("BlobNameTooLong", "Azure blob storage path provided is too long: "+strings.Repeat("n", 64)+".... Shorten the path and try again.")},
		{"input without extension", input("data/in"), refusedExtension("data/in")},
		{"input of another format", input("data/in.xlsx"), refusedExtension("data/in.xlsx")},
		{"secret in a path", input("data/in.AccountKey=planted"), refusedExtension("data/in.AccountKey=[redacted]")},

		{"unknown output", `{"Input":` + in + `,"Outputs":{"output2":` + in + `}}`, refusedOutput("output2")},
		{"case of the output", `{"Input":` + in + `,"Outputs":{"Output1":null}}`, refusedOutput("Output1")},
		{"outputs as a text", `{"Outputs":"a","Input":` + in + `}`, refusedBody("Byte 11: Outputs must be an object.")},
		{"both outputs", `{"Output":` + in + `,"Outputs":{"output1":` + in + `},"Input":` + in + `}`, refusedBody("Byte 10: Output and Outputs are both given.")},
		{"empty output", output(`{}`), refusedOverride("output1")},
		{"output without a path", output(`{"ConnectionString":"` + development + `"}`), refusedOverride("output1")},
		{"output without an account", output(`{"RelativeLocation":"data/out.csv"}`), refusedOverride("output1")},
		{"output without extension", output(byAccount("data/out")), refusedExtension("data/out")},
		{"output in ARFF", output(byAccount("/data/out.arff")), refusedExtension("/data/out.arff")},
		{"model as output", output(byAccount("/data/out.ilearner")), refusedExtension("/data/out.ilearner")},

		{"unknown parameter", `{"Input":` + in + `,"GlobalParameters":{"a":1}}`, refusedUnexpected("a")},
		{"parameters as a text", `{"GlobalParameters":"a","Input":` + in + `}`, refusedBody("Byte 20: GlobalParameters must be an object.")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, send(e, newRequest("POST", hashingPath+"/jobs", tt.body)), tt.want)
		})
	}
}

// Parameters are checked by submit and used by the job.
func TestOrderParameters(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		b.path = riskPath
		wantRefusal(t, b.send("POST", "/jobs", `{"Input":`+byAccount("data/risk.csv")+`,"GlobalParameters":{"High risk threshold":"high"}}`),
			refusedParameter(`Global parameter "High risk threshold": "high" is not a Double.`))
		b.put("data", "risk.csv", riskInput)
		id := b.started(`{"Input":` + byAccount("data/risk.csv") + `,"Outputs":{"output2":` + byAccount("data/counts.tsv") + `},"GlobalParameters":{"High risk threshold":0.15}}`)
		b.wantState("Finished", id)
		if got := b.get("data", "counts.tsv"); got != "Rows\tHigh risk rows\n3\t1\n" {
			t.Errorf("the counts are %q", got)
		}
		if status, text := b.fetch(b.status(id), "output1", b.runner.storage.near.Transport); status != 200 || text != riskOutput {
			t.Errorf("the scores are %d %q", status, text)
		}
	})
}

const (
	// Columns in another order than the service's, Windows lines, a mark before
	// the header, quotes, a row with a missing cell.
	riskInput = "\ufeffAge,Sex,TotalCholesterol,HdlCholesterol,SystolicBloodPressure,Treated,Smoker,Diabetic\r\n" +
		"61,female,180,47.0,1.24e2,false,1,0\r\n" +
		"53.0,\"male\",161.5, 55 ,125,true,FALSE,True\r\n" +
		",male,161,55,125,true,false,true\r\n"
	riskOutput = "Sex,Age,TotalCholesterol,HdlCholesterol,SystolicBloodPressure,Treated,Smoker,Diabetic,Scored Probabilities,Scored Labels\n" +
		"female,61,180,47,124,False,True,False,0.1048418020372,False\n" +
		"male,53,161.5,55,125,True,False,True,0.156726685704312,True\n" +
		"male,,161,55,125,True,False,True,,\n"
)

package emulator

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

var someGUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// wantFailure checks a failed job: its details are one text in the form of the
// one that was seen, its message holds sentence, and no secret is in it.
func (b *bench) wantFailure(id, module, number, sentence string) {
	b.t.Helper()
	b.wantState("Failed", id)
	a := b.status(id)
	if a.Results != nil || a.Details == nil || strings.HasPrefix(a.EndTime, "0001") {
		b.t.Fatalf("failed: %+v", a)
	}
	message := "Error " + number + ": " + sentence
	head := "Module: " + module + "; SNR Job Id: " + id + "; SNR Task Id: GUID; requestId = GUID errorComponent=Module. taskStatusCode=400. " +
		`{"Exception":{"ErrorId":"` + errorIDs[number] + `","ErrorCode":"` + number + `","ExceptionType":"ModuleException","Message":`
	got := someGUID.ReplaceAllString(*a.Details, "GUID")
	if want := head + string(marshal(message)) + `}}Error: ` + message; got != want {
		b.t.Errorf("got  %s\nwant %s", got, want)
	}
	if strings.Contains(got, "planted") || strings.Contains(got, developmentKey) {
		b.t.Errorf("a secret is told: %s", got)
	}
}

// What keeps a blob from being a table.
func TestBadDatasets(t *testing.T) {
	row := "female,61,180,47,124,false,true,false\n"
	header := "Sex,Age,TotalCholesterol,HdlCholesterol,SystolicBloodPressure,Treated,Smoker,Diabetic\n"
	const invalid, parsing = "Dataset contains invalid data. ", "Error while parsing the file: "
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		for name, tt := range map[string]struct{ path, text, number, sentence string }{
			"empty":               {riskPath, "", "0003", "One or more of inputs are null or empty"},
			"blank":               {riskPath, "\ufeff\r\n \n", "0003", "One or more of inputs are null or empty"},
			"long row":            {riskPath, header + row + "female,61,180,47,124,false,true,false,1\n", "1000", "AFx Library library exception: All rows must have same number of elements. See line 3"},
			"short row":           {riskPath, header + "female,61\n" + row, "1000", "AFx Library library exception: All rows must have same number of elements. See line 2"},
			"no header":           {riskPath, row, "0018", invalid + `It has an unknown column "female"`},
			"binary":              {hashingPath, "PK\x03\x04\xff\xfe", "0049", parsing + "byte 4 is not UTF-8"},
			"UTF-16":              {hashingPath, "\xff\xfeC\x00o\x00", "0049", parsing + "byte 0 is not UTF-8"},
			"quote in a cell":     {hashingPath, "Col2\na \"b\" c\n", "0049", parsing + `line 2, column 3: a quote in a cell that is not quoted`},
			"open quote":          {hashingPath, "Col2\n\"abc\n", "0049", parsing + `line 2, column 6: a quoted cell that does not end as it should`},
			"blank line":          {hashingPath, "Col2\na\n\nb\n", "0049", parsing + `a blank line after row 1; "" stands for a missing cell`},
			"blank Windows line":  {hashingPath, "Col2\r\n\r\nb\r\n", "0049", parsing + `a blank line after row 0; "" stands for a missing cell`},
			"another column":      {hashingPath, "Col1\na\n", "0018", invalid + `It has an unknown column "Col1"`},
			"one column more":     {hashingPath, "Col2,Col3\na,b\n", "0018", invalid + `It has an unknown column "Col3"`},
			"column twice":        {hashingPath, "Col2,Col2\na,b\n", "0018", invalid + `It has column "Col2" twice`},
			"case of a column":    {hashingPath, "col2\na\n", "0018", invalid + `It has an unknown column "col2"`},
			"semicolons":          {riskPath, strings.ReplaceAll(header+row, ",", ";"), "0018", invalid + `It has an unknown column "` + strings.ReplaceAll(header, ",", ";")[:64] + `..."`},
			"column missing":      {riskPath, strings.Replace(header, ",Diabetic", "", 1), "0018", invalid + `It lacks column "Diabetic"`},
			"text for a number":   {riskPath, header + row + strings.Replace(row, "61", "old", 1), "0018", invalid + `Row 1, column "Age": "old" is not an Int32`},
			"out of range":        {riskPath, header + strings.Replace(row, "61", "99", 1), "0018", invalid + `Row 0, column "Age": "99" is not within 30 to 74`},
			"no category":         {riskPath, header + strings.Replace(row, "female", "f", 1), "0018", invalid + `Row 0, column "Sex": "f" is not one of male, female`},
			"secret in a cell":    {riskPath, header + strings.Replace(row, "61", "AccountKey=planted", 1), "0018", invalid + `Row 0, column "Age": "AccountKey=[redacted]" is not an Int32`},
			"secret in a column":  {hashingPath, "?se=1&sig=planted\na\n", "0018", invalid + `It has an unknown column "?se=1&sig=[redacted]"`},
			"quoted across lines": {hashingPath, "\"Col\n2\"\na\n", "0018", invalid + `It has an unknown column "Col\n2"`},
		} {
			b.put("data", "bad.csv", tt.text)
			b.path = tt.path
			t.Log(name)
			b.wantFailure(b.started(strings.ReplaceAll(goodOrder, "in.csv", "bad.csv")), "Reader", tt.number, tt.sentence)
		}
		if outputs, err := b.blobs.DownloadStream(context.Background(), "data", "out.csv", nil); err == nil {
			t.Errorf("a job that failed has written %v", outputs)
		}
	})
}

// What a good blob may look like besides.
func TestGoodDatasets(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		head, _, _ := strings.Cut(goodOutput, "\n")
		for text, want := range map[string]string{
			"Col2\n":                         head + "\n",
			"Col2":                           head + "\n",
			"Col2\r\n\"a, \"\"b\"\"\"\r\n":   head + "\n\"a, \"\"b\"\"\",1,2,0,0,0,0,0,0\n",
			"Col2\n\"\"\nThis is a good day": head + "\n,0,0,0,0,0,0,0,0\nThis is a good day,1,1,2,2,0,2,0,1\n",
		} {
			b.put("data", "in.csv", text)
			b.wantState("Finished", b.started(goodOrder))
			if got := b.get("data", "out.csv"); got != want {
				t.Errorf("%q gave %q", text, got)
			}
		}
		b.put("data", "in.tsv", "Col2\nThis is a good day\n\"a\tb\"\n")
		b.wantState("Finished", b.started(strings.NewReplacer("in.csv", "in.tsv", "out.csv", "out.tsv").Replace(goodOrder)))
		want := strings.ReplaceAll(goodOutput, ",", "\t") + "\"a\tb\"\t"
		if got := b.get("data", "out.tsv"); !strings.HasPrefix(got, want) {
			t.Errorf("TSV: %q", got)
		}
	})
}

// Blobs that cannot be read or written, each with the storage's own code.
func TestUnreachableBlobs(t *testing.T) {
	const downloading = "Error while downloading the file: "
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		id := b.started(strings.ReplaceAll(goodOrder, "in.csv", "none.csv"))
		b.wantFailure(id, "Reader", "0030", downloading+"data/none.csv: BlobNotFound (HTTP status 404)")
		id = b.started(strings.ReplaceAll(goodOrder, "data/in.csv", "none/in.csv"))
		b.wantFailure(id, "Reader", "0030", downloading+"none/in.csv: ContainerNotFound (HTTP status 404)")
		id = b.started(strings.ReplaceAll(goodOrder, developmentKey, "cGxhbnRlZA=="))
		b.wantFailure(id, "Reader", "0030", downloading+"data/in.csv: AuthenticationFailed (HTTP status 403)")
		id = b.started(strings.ReplaceAll(goodOrder, "data/out.csv", "none/out.csv"))
		b.wantFailure(id, "Writer", "0066", `The file "none/out.csv" could not be uploaded to Azure storage: ContainerNotFound (HTTP status 404)`)
		write := byURL(blobURL+"/devstoreaccount1/", "data/out.csv", b.sign("data", "out.csv", "r"))
		id = b.started(`{"Input":` + byAccount("data/in.csv") + `,"Output":` + write + `}`)
		b.wantFailure(id, "Writer", "0066", `The file "data/out.csv" could not be uploaded to Azure storage: AuthorizationPermissionMismatch (HTTP status 403)`)
	})
}

// An endpoint that breaks off, redirects, or sends too much.
func TestBrokenEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		answer   http.HandlerFunc
		sentence string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:10000/elsewhere", http.StatusTemporaryRedirect)
		}, "data/in.csv: HTTP status 307"},
		"busy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ms-error-code", "ServerBusy")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "data/in.csv: ServerBusy (HTTP status 503)"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(maxDataset+1))
		}, "data/in.csv: it is longer than 67108864 bytes"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "data/in.csv: the host did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, Config{}, func(http.Handler) http.Handler { return tt.answer }, func(_ *testing.T, b *bench) {
				id := b.started(goodOrder)
				time.Sleep(blobTimeout)
				b.wantFailure(id, "Reader", "0030", "Error while downloading the file: "+tt.sentence)
			})
		})
	}
}

// A panic ends its job, not the program.
func TestJobPanics(t *testing.T) {
	var log strings.Builder
	inBench(t, Config{MaxJobs: 1, Logger: newLogger(&log)}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("AccountKey=planted") })
	}, func(t *testing.T, b *bench) {
		for range 2 { // the place is free again
			b.wantFailure(b.started(goodOrder), "Score Model", "1000", "AFx Library library exception: The container process crashed with unknown error")
		}
		if text := log.String(); !strings.Contains(text, "job panicked") || !strings.Contains(text, "runner.go") || strings.Contains(text, "planted") {
			t.Errorf("the log is\n%s", text)
		}
	})
}

// sign makes a token for a blob with the account's key.
func (b *bench) sign(container, name, permissions string) string {
	b.t.Helper()
	query, err := sas.BlobSignatureValues{
		ExpiryTime: time.Now().UTC().Add(time.Hour), Permissions: permissions, ContainerName: container, BlobName: name,
	}.SignWithSharedKey(b.runner.storage.key)
	if err != nil {
		b.t.Fatal(err)
	}
	return "?" + query.Encode()
}

// Blobs by a token: three texts behind each other, on both sides. The token
// that was given is told to nobody, so the result has none.
func TestTokens(t *testing.T) {
	inBench(t, Config{BlobPublicURL: "https://blobs.example.com/store/"}, nil, func(t *testing.T, b *bench) {
		in, out := b.sign("data", "in.csv", "r"), b.sign("data", "out.csv", "cw")
		for _, slash := range []string{"", "/"} {
			for _, base := range []string{blobURL + "/devstoreaccount1/", "https://blobs.example.com/store/", "https://127.0.0.1:10000/devstoreaccount1/"} {
				id := b.started(`{"Inputs":{"input1":` + byURL(base, slash+"data/in.csv", in) + `},"Outputs":{"output1":` + byURL(base, slash+"data/out.csv", out) + `}}`)
				b.wantState("Finished", id)
				at := b.status(id).Results["output1"]
				if at.ConnectionString != nil || at.BaseLocation != base || at.RelativeLocation != "data/out.csv" || at.SasBlobToken != "" {
					t.Errorf("the result is %+v", at)
				}
				if got := b.get("data", "out.csv"); got != goodOutput {
					t.Errorf("the output is %q", got)
				}
			}
		}
		// A result can be the next job's input as it is.
		id := b.started(`{"Input":` + byAccount("data/in.csv") + `,"Output":` + byAccount("data/a b%.csv") + `}`)
		b.wantState("Finished", id)
		first := b.status(id).Results["output1"]
		if first.BaseLocation != "https://blobs.example.com/store/" || first.RelativeLocation != "data/a%20b%25.csv" {
			t.Errorf("the result is %+v", first)
		}
		id = b.started(`{"Input":` + byURL(first.BaseLocation, first.RelativeLocation, first.SasBlobToken) + `}`)
		b.wantFailure(id, "Reader", "0018", `Dataset contains invalid data. It has an unknown column "Col2_HashingFeature.0"`)
	})
}

// Outputs that the request gave no place lie in the emulator's container,
// which is made when it is missed, each under a name of its own.
func TestFreshOutputs(t *testing.T) {
	inBench(t, Config{}, nil, func(t *testing.T, b *bench) {
		seen := map[string]bool{}
		for range 2 {
			id := b.started(`{"Input":` + byAccount("data/in.csv") + `}`)
			b.wantState("Finished", id)
			a := b.status(id)
			at := a.Results["output1"]
			name, found := strings.CutPrefix(at.RelativeLocation, "experimentoutput/")
			first, second, _ := strings.Cut(strings.TrimSuffix(name, ".csv"), "/")
			if !found || !guid.MatchString(first) || first != second || seen[first] || at.BaseLocation != blobURL+"/devstoreaccount1/" {
				t.Errorf("the result is %+v", at)
			}
			seen[first] = true
			transport := b.runner.storage.near.Transport
			if status, text := b.fetch(a, "output1", transport); status != 200 || text != goodOutput {
				t.Errorf("the output is %d %q", status, text)
			}
			time.Sleep(25 * time.Hour)
			if status, _ := b.fetch(a, "output1", transport); status != 403 {
				t.Errorf("after a day the token gives %d", status)
			}
			if status, _ := b.fetch(b.status(id), "output1", transport); status != 200 {
				t.Errorf("a fresh token gives %d", status)
			}
		}
	})
}

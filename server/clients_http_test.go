package server_test

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestClientsOnTheWire sends what clients that cannot run everywhere put on the wire, byte by byte, and waits where they
// wait.
func TestClientsOnTheWire(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/clients/wire/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no clients: %v", err)
	}
	srv := start(t, testConfig())
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 3 {
				t.Fatalf("head, body and answer are needed: %v", err)
			}
			head, body := string(archive.Files[0].Data), strings.TrimSuffix(string(archive.Files[1].Data), "\n")
			c := connect(t, srv)
			sendHead(t, c, head, body)
			sendBody(t, c, body, strings.Contains(head, "Transfer-Encoding: chunked"))
			resp, answer := c.read(t, "POST")
			if got := fmt.Sprintf("%s\n%s\n", resp.Status, answer); got != string(archive.Files[2].Data) {
				t.Errorf("answered\n%swant\n%s", got, archive.Files[2].Data)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
		})
	}
}

// sendHead sends a request's head and, where the client waits for it, reads 100 Continue.
func sendHead(t *testing.T, c *connection, head, body string) {
	t.Helper()
	request := wire(head + "\n" + body)
	if _, err := c.Write(request[:len(request)-len(body)]); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(head, "Expect: 100-continue") {
		return
	}
	if resp, _ := c.read(t, "POST"); resp.StatusCode != 100 {
		t.Fatalf("answered %s where the client waits for 100 Continue", resp.Status)
	}
}

// sendBody sends a request's body in two parts, which are chunks where it is chunked.
func sendBody(t *testing.T, c *connection, body string, chunked bool) {
	t.Helper()
	half := len(body) / 2
	parts := []string{body[:half], body[half:]}
	if chunked {
		for i, part := range parts {
			parts[i] = fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
		}
		parts = append(parts, "0\r\n\r\n")
	}
	for _, part := range parts {
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGuidesProgram runs the program that Microsoft's guide prints.
func TestGuidesProgram(t *testing.T) {
	t.Parallel()
	needs(t, "python3")
	got := program{argv: []string{"python3", client(t, "python", "rrs.py")}}.call(t, start(t, testConfig()))
	expect(t, got, "result:"+hashed+"\n")
}

// TestNodeProgram runs a program on Node's own http.
func TestNodeProgram(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	got := program{argv: []string{"node", client(t, "node", "rrs.js")}}.call(t, start(t, testConfig()))
	expect(t, got, "200 1 1 2 2 0 2 0 1\n")
}

// TestLibcurlAsR calls as the R package AzureML does, through the same library with the same header. The package itself
// needs R.
func TestLibcurlAsR(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	srv := start(t, testConfig())
	got := program{argv: []string{"curl", "--silent", "--show-error", "--noproxy", "*",
		"--header", "User-Agent: R", "--header", "Content-Type: application/json", "--header", "Authorization: Bearer demo-key",
		"--data-binary", `{"Inputs":{"input1":[{"Sex":"male","Age":53,"TotalCholesterol":161,"HdlCholesterol":55,"SystolicBloodPressure":125,"Treated":true,"Smoker":false,"Diabetic":true}]},"GlobalParameters":{}}`,
		"http://" + srv.HTTPAddr() + "/workspaces/demo/services/cardiovascular-risk/execute?api-version=2.0&details=true&format=swagger"}}.call(t, srv)
	expect(t, got, `{"Results":{"output1":[{"Sex":"male","Age":"53","TotalCholesterol":"161","HdlCholesterol":"55","SystolicBloodPressure":"125","Treated":"True","Smoker":"False","Diabetic":"True","Scored Probabilities":"0.156226542002036","Scored Labels":"False"}],"output2":[{"Rows":"1","High risk rows":"0"}]}}`)
}

// TestJavaProgram runs Microsoft's Java sample, as far as its header goes, on the library it is written for.
func TestJavaProgram(t *testing.T) {
	t.Parallel()
	needs(t, "java")
	jars := filepath.Join(prepared(t, "java", "pom.xml"), "lib", "*")
	got := program{argv: []string{"java", "-cp", jars, client(t, "java", "Rrs.java")}}.call(t, start(t, testConfig()))
	expect(t, got, "HTTP/1.1 200 OK\n"+hashed+"\n")
}

// TestMicrosoftsPythonPackage calls through azureml, the package that Microsoft published for classic services.
func TestMicrosoftsPythonPackage(t *testing.T) {
	t.Parallel()
	got := program{argv: []string{python(t), client(t, "python", "azureml_services.py")}}.call(t, start(t, testConfig()))
	expect(t, got, `('female', 61, 180.5, 47, 124, False, True, False, 0.105174803223542, False)
[('female', 61, 180.5, 47, 124, False, True, False, 0.105174803223542, False), ('male', 53, 161, 55, 125, True, False, True, 0.156226542002036, False)]
RuntimeError: Invalid credentials provided.
`)
}

// TestAzmlclient calls through azmlclient, in both of the formats it knows.
func TestAzmlclient(t *testing.T) {
	t.Parallel()
	got := program{
		argv: []string{python(t), client(t, "python", "azmlclient_rrs.py")},
		env:  []string{"PYTHONWARNINGS=ignore"}, // of what pandas will no longer do
	}.call(t, start(t, testConfig()))
	const scored = `output1
Sex,Age,TotalCholesterol,HdlCholesterol,SystolicBloodPressure,Treated,Smoker,Diabetic,Scored Probabilities,Scored Labels
female,61,180.5,47,124,False,True,False,0.105174803223542,False
male,53,161.0,55,125,True,False,True,0.156226542002036,True
output2
Rows,High risk rows
2,1
`
	expect(t, got, `output1
Col2,Col2_HashingFeature.0,Col2_HashingFeature.1,Col2_HashingFeature.2,Col2_HashingFeature.3,Col2_HashingFeature.4,Col2_HashingFeature.5,Col2_HashingFeature.6,Col2_HashingFeature.7
This is a good day,1,1,2,2,0,2,0,1
tables
`+scored+"swagger\n"+scored+`{
    "code": "Unauthorized",
    "message": "Request is unauthorized to access resource.",
    "details": [
        {
            "code": "ScoreRequestUnauthorized",
            "message": "Invalid credentials provided."
        }
    ]
}
`)
}

// python returns the interpreter that has the packages.
func python(t *testing.T) string {
	t.Helper()
	return filepath.Join(prepared(t, "python", "requirements.txt"), "bin", "python")
}

package server_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/amlgate/amlgate/server/emulator/blob"
)

// TestGuidesBatchProgram runs the batch program of Microsoft's guide, ported to Python 3: it uploads, submits, starts,
// polls and downloads.
func TestGuidesBatchProgram(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	pins := filepath.Join("emulator", "blob", "testdata", "clients", "python", "requirements.txt")
	want, err := os.ReadFile(pins)
	if err != nil {
		t.Fatal(err)
	}
	seal := filepath.Join(filepath.Dir(filepath.Dir(interpreter)), "blob-requirements.txt")
	if got, err := os.ReadFile(seal); err != nil || !bytes.Equal(got, want) {
		lacks(t, "the storage client is not prepared: run .ci/prepare-blob DIR and set AMLGATE_CLIENTS=DIR")
	}
	script, err := filepath.Abs(filepath.Join("emulator", "testdata", "clients", "bes.py"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	input, output := filepath.Join(dir, "mydata.csv"), filepath.Join(dir, "myresults.csv")
	if err := os.WriteFile(input, []byte("Col2\nThis is a good day\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := start(t, testConfig())
	// The guide's reader makes the container beforehand.
	storage, err := azblob.NewClientFromConnectionString("AccountName="+blob.DevelopmentAccount+";AccountKey="+blob.DevelopmentKey+";BlobEndpoint=http://"+srv.BlobAddr()+"/"+blob.DevelopmentAccount, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storage.CreateContainer(t.Context(), "data", nil); err != nil {
		t.Fatal(err)
	}
	said := program{argv: []string{interpreter, script}, env: []string{
		"STORAGE_ACCOUNT=" + blob.DevelopmentAccount, "STORAGE_KEY=" + blob.DevelopmentKey,
		"STORAGE_URL=http://" + srv.BlobAddr() + "/" + blob.DevelopmentAccount, "STORAGE_CONTAINER=data",
		"INPUT_FILE=" + input, "OUTPUT_FILE=" + output,
	}}.call(t, srv)
	for _, line := range []string{"Uploaded the input to blob storage", "status:Finished", "BaseLocation: http://" + srv.BlobAddr() + "/devstoreaccount1/", "RelativeLocation: data/myresultsblob.csv"} {
		if !strings.Contains(said, line+"\n") {
			t.Errorf("it did not say %q:\n%s", line, said)
		}
	}
	if got, err := os.ReadFile(output); err != nil || !strings.HasSuffix(string(got), "\nThis is a good day,1,1,2,2,0,2,0,1\n") {
		t.Errorf("the result: %v %s", err, got)
	}
}

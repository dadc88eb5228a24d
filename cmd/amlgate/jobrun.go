package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/structpb"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/emulator/blob"
)

// devStorage is the connection string of the embedded blob endpoint, with the key that is published for it.
const devStorage = "DefaultEndpointsProtocol=http;AccountName=" + blob.DevelopmentAccount + ";AccountKey=" + blob.DevelopmentKey +
	";BlobEndpoint=http://127.0.0.1:10000/" + blob.DevelopmentAccount + ";"

// jobRunCmd is "amlgate job run".
type jobRunCmd struct {
	jobTarget
	Input     string            `placeholder:"FILE" help:"CSV to score."`
	Output    string            `required:"" placeholder:"FILE" help:"Where the result goes."`
	InName    string            `name:"input-name" default:"input1" help:"AzureML's name of the input."`
	OutName   string            `name:"output-name" default:"output1" help:"AzureML's name of the output."`
	Parameter map[string]string `placeholder:"NAME=VALUE" help:"Global parameters."`
	Storage   string            `placeholder:"CONNECTION" help:"Azure Storage connection string; better as AMLGATE_STORAGE. Default: the embedded blob endpoint at 127.0.0.1:10000."`
	Container string            `default:"amlgate" help:"Container for input and output; made if missing."`
	Resume    string            `placeholder:"JOB" help:"Wait for a job that runs already, and download its result."`
}

// Run does the whole of a batch job.
func (c *jobRunCmd) Run(ctx context.Context, std *streams) error {
	if (c.Input == "") == (c.Resume == "") {
		return errors.New("give one of --input and --resume")
	}
	progress := newProgress(std.err)
	return c.call(ctx, func(ctx context.Context, jobs v1.JobServiceClient) error {
		id := c.Resume
		if id == "" {
			var err error
			if id, err = c.begin(ctx, jobs, progress); err != nil {
				return err
			}
		}
		req := &v1.WatchJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: id}
		last, err := follow(ctx, jobs, req, func(e *v1.WatchJobResponse) {
			if j := e.GetJob(); j != nil {
				progress.say("job %s is %s", id, stateWord(j.GetState()))
			}
		})
		if err != nil {
			progress.end()
			_, _ = fmt.Fprintf(std.err, "The job goes on. To wait for it again:\n  amlgate job run --workspace %s --service %s --output %s --resume %s\n", c.Workspace, c.Service, c.Output, id)
			return err
		}
		if last.GetState() != v1.JobState_JOB_STATE_FINISHED {
			progress.end()
			return fmt.Errorf("the job %s: %s", stateWord(last.GetState()), last.GetDetails())
		}
		return c.download(ctx, jobs, id, progress)
	})
}

// begin uploads the input and submits and starts a job on it.
func (c *jobRunCmd) begin(ctx context.Context, jobs v1.JobServiceClient, progress *progress) (string, error) {
	storage := c.Storage
	if storage == "" {
		storage = devStorage
	}
	in, err := c.upload(ctx, storage, progress)
	if err != nil {
		return "", err
	}
	parameters := make(map[string]*structpb.Value, len(c.Parameter))
	for name, value := range c.Parameter {
		parameters[name] = structpb.NewStringValue(value)
	}
	out := in[:len(in)-len("in.csv")] + "out.csv"
	resp, err := jobs.SubmitJob(ctx, &v1.SubmitJobRequest{Workspace: c.Workspace, Service: c.Service, Payload: &v1.SubmitJobRequest_Batch{Batch: &v1.BatchInput{
		Inputs:           map[string]*v1.BlobReference{c.InName: {ConnectionString: storage, RelativeLocation: in}},
		Outputs:          map[string]*v1.BlobReference{c.OutName: {ConnectionString: storage, RelativeLocation: out}},
		GlobalParameters: parameters,
	}}})
	if err != nil {
		return "", err
	}
	progress.say("job %s is submitted", resp.GetJobId())
	_, err = jobs.StartJob(ctx, &v1.StartJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: resp.GetJobId()})
	return resp.GetJobId(), err
}

// upload puts the input into the container and returns container and blob.
func (c *jobRunCmd) upload(ctx context.Context, storage string, progress *progress) (string, error) {
	file, err := os.Open(c.Input)
	if err != nil {
		return "", fmt.Errorf("--input: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	client, err := azblob.NewClientFromConnectionString(storage, nil)
	if err != nil {
		return "", errors.New("--storage: not a connection string of Azure Storage; it has AccountName=, AccountKey= and an endpoint")
	}
	if _, err := client.CreateContainer(ctx, c.Container, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return "", storageError("the container cannot be made", err)
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	name := hex.EncodeToString(id[:]) + "-in.csv"
	progress.say("uploading %s as %s/%s", filepath.Base(c.Input), c.Container, name)
	if _, err := client.UploadFile(ctx, c.Container, name, file, nil); err != nil {
		return "", storageError("the input cannot be uploaded", err)
	}
	return c.Container + "/" + name, nil
}

// storageError tells of Azure Storage's code; the SDK's own text holds the whole exchange.
func storageError(what string, err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return fmt.Errorf("--storage: %s: %d %s", what, answer.StatusCode, answer.ErrorCode)
	}
	return fmt.Errorf("--storage: %s: %w", what, err)
}

// download fetches the result by its URL, which needs no key; the API key is not sent there.
func (c *jobRunCmd) download(ctx context.Context, jobs v1.JobServiceClient, id string, progress *progress) error {
	resp, err := jobs.GetJob(ctx, &v1.GetJobRequest{Workspace: c.Workspace, Service: c.Service, JobId: id})
	if err != nil {
		return err
	}
	result, ok := resp.GetJob().GetResults()[c.OutName]
	if !ok {
		return fmt.Errorf("--output-name: the job has no output %q", c.OutName)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, result.GetBaseLocation()+result.GetRelativeLocation()+result.GetSasBlobToken(), nil)
	if err != nil {
		return errors.New("the result's location is no URL")
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the result cannot be fetched: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the result cannot be fetched: %s", answer.Status)
	}
	n, err := writeWhole(c.Output, answer.Body)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	progress.say("%d bytes written to %s", n, c.Output)
	progress.end()
	return nil
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(name string, from io.Reader) (int64, error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".amlgate-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(file.Name()) }() // nothing is left to remove where it was renamed
	n, err := io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		return n, err
	}
	return n, os.Rename(file.Name(), name)
}

// progress is one line that changes on a terminal, and a line each anywhere else.
type progress struct {
	w        io.Writer
	terminal bool
	open     bool
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) say(format string, args ...any) {
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
		p.open = true
		return
	}
	_, _ = fmt.Fprintf(p.w, format+"\n", args...)
}

// end leaves the line as it is.
func (p *progress) end() {
	if p.open {
		_, _ = fmt.Fprintln(p.w)
		p.open = false
	}
}

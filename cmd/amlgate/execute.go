package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
)

// executeCmd is "amlgate execute".
type executeCmd struct {
	target
	Workspace string            `required:"" help:"AzureML workspace id."`
	Service   string            `required:"" help:"AzureML service (endpoint) id."`
	Input     string            `required:"" placeholder:"FILE" help:"CSV with a header line, or JSON: AzureML's own request or a list of row objects. - is standard input."`
	InputName string            `default:"input1" help:"AzureML's name of the input that a CSV or a list of rows goes to."`
	Parameter map[string]string `placeholder:"NAME=VALUE" help:"Global parameters for a CSV or a list of rows."`
	Output    string            `default:"table" enum:"table,csv,json" help:"How the answer is printed: table, csv or json (AzureML's own)."`
	OutName   string            `name:"output-name" help:"Print this output only; needed for csv where there are several."`
	Timeout   time.Duration     `default:"120s" help:"Longest wait for the answer."`
}

// target says which amlgate is called and as whom.
type target struct {
	Address string `default:"127.0.0.1:9090" placeholder:"ADDR" help:"The service's gRPC address."`
	REST    string `name:"rest" placeholder:"URL" help:"Call this base URL over REST instead, for example http://127.0.0.1:8080."`
	credential
}

// credential says as whom a service is called, and how it is trusted.
type credential struct {
	Key     string `placeholder:"KEY" help:"AzureML API key; better as AMLGATE_KEY, since others on this machine see arguments."`
	KeyFile string `type:"existingfile" placeholder:"FILE" help:"File that holds the key."`
	TLS     bool   `help:"Speak TLS over gRPC."`
	TLSCA   string `name:"tls-ca" type:"existingfile" placeholder:"FILE" help:"Trust these certificates (PEM) instead of the system's; implies --tls."`
}

// Run scores the input and prints the answer.
func (c *executeCmd) Run(ctx context.Context, std *streams) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	body, err := c.request(std.in)
	if err != nil {
		return err
	}
	answer, err := c.execute(ctx, body)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		_, err := fmt.Fprintf(std.out, "%s\n", answer)
		return err
	}
	tables, err := azureml.ParseAnswer(answer)
	if err != nil {
		return fmt.Errorf("%w (--output json prints it as it is)", err)
	}
	return printTables(std.out, tables, c.Output, c.OutName)
}

// request reads the input and returns AzureML's JSON for it.
func (c *executeCmd) request(stdin io.Reader) ([]byte, error) {
	raw, err := readInput(c.Input, stdin)
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")))
	parameters := make(map[string]any, len(c.Parameter))
	for name, value := range c.Parameter {
		parameters[name] = value
	}
	switch {
	case len(text) == 0:
		return nil, errors.New("--input: empty")
	case text[0] == '{':
		if len(parameters) > 0 {
			return nil, errors.New("--parameter: the JSON input has its own GlobalParameters")
		}
		return text, nil
	case text[0] == '[' && json.Valid(text):
		return json.Marshal(map[string]any{"Inputs": map[string]any{c.InputName: json.RawMessage(text)}, "GlobalParameters": parameters})
	}
	table, err := readCSV(raw, c.InputName)
	if err != nil {
		return nil, fmt.Errorf("--input: %w", err)
	}
	return azureml.AppendRequest(nil, []azureml.Table{table}, parameters, 1<<30)
}

// readInput reads a file, or standard input where it is named "-".
func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--input: %w", err)
	}
	return raw, nil
}

// execute calls the service over the surface that was chosen.
func (c *executeCmd) execute(ctx context.Context, body []byte) ([]byte, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if c.REST != "" {
		return c.overREST(ctx, key, body)
	}
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	resp, err := v1.NewScoringServiceClient(conn).Execute(ctx, &v1.ExecuteRequest{
		Workspace: c.Workspace, Service: c.Service, Details: true, Payload: &v1.ExecuteRequest_Json{Json: body},
	}, grpc.MaxCallRecvMsgSize(1<<30))
	if err != nil {
		st := status.Convert(err)
		return nil, fmt.Errorf("%s: %s", st.Code(), st.Message())
	}
	return resp.GetJson(), nil
}

// key returns the API key, from wherever it was given.
func (t *credential) key() (string, error) {
	if t.KeyFile == "" {
		return t.Key, nil
	}
	if t.Key != "" {
		return "", errors.New("--key and --key-file: give one")
	}
	b, err := os.ReadFile(t.KeyFile)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// certificates returns how to trust the service.
func (t *credential) certificates() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("--tls-ca: no certificate in the file; PEM is expected")
	}
	return config, nil
}

func (t *target) dial() (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if t.TLS || t.TLSCA != "" {
		config, err := t.certificates()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(t.Address, grpc.WithTransportCredentials(creds), grpc.WithUserAgent("amlgate"))
	if err != nil {
		return nil, fmt.Errorf("--address: %w", err)
	}
	return conn, nil
}

// overREST scores over REST; what AzureML says of a failure is printed in its own words.
func (c *executeCmd) overREST(ctx context.Context, key string, body []byte) ([]byte, error) {
	base, err := url.Parse(c.REST)
	if err != nil || base.Host == "" {
		return nil, errors.New("--rest: a base URL is needed, for example http://127.0.0.1:8080")
	}
	target := base.JoinPath("workspaces", c.Workspace, "services", c.Service, "execute")
	target.RawQuery = "api-version=2.0&details=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--rest: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	config, err := c.certificates()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var e azureml.Envelope
	if json.Unmarshal(answer, &e) == nil && len(e.Error.Details) > 0 {
		return nil, fmt.Errorf("%s: %s: %s", resp.Status, e.Error.Details[0].Code, e.Error.Details[0].Message)
	}
	return nil, errors.New(resp.Status)
}

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/amlgate/amlgate/server/emulator"
	"github.com/amlgate/amlgate/server/jobs"
)

// Config says how a Server runs. The tags are the command line's; every flag also has an environment variable, its name
// in capitals behind AMLGATE_. The zero value is not useful: take the defaults from the tags.
type Config struct {
	HTTP     string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Where REST listens."`
	GRPC     string `name:"grpc" default:"127.0.0.1:9090" placeholder:"ADDR" help:"Where native gRPC listens."`
	Upstream string `name:"upstream" placeholder:"URL" help:"AzureML's base URL, for example https://ussouthcentral.services.azureml.net. None: an embedded emulator."`
	Data     string `name:"data" placeholder:"DIR" help:"Folder for what must survive a restart. Nothing is kept yet; the folder is made and checked."`

	Blob            string   `name:"blob" default:"127.0.0.1:10000" placeholder:"ADDR" help:"Where the embedded emulator's blob endpoint listens."`
	BlobPublicURL   string   `name:"blob-public-url" placeholder:"URL" help:"The blob endpoint as callers reach it; what result locations begin with."`
	AllowBlobHosts  []string `name:"allow-blob-host" placeholder:"HOST" help:"Further hosts whose blobs the embedded emulator may read and write."`
	InsecureDevKeys bool     `name:"insecure-dev-keys" help:"Let the embedded blob endpoint listen beyond loopback with its published key."`

	TLSCert        string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain (PEM) for both listeners."`
	TLSKey         string `name:"tls-key" placeholder:"FILE" help:"The certificate's private key (PEM)."`
	AllowCleartext bool   `name:"allow-cleartext" help:"Listen without TLS on addresses other than loopback; keys then cross the network readable."`

	Reflection string   `name:"reflection" default:"auto" enum:"auto,on,off" help:"gRPC reflection: on, off, or auto (on where gRPC listens on loopback)."`
	CORSOrigin []string `name:"cors-origin" placeholder:"ORIGIN" help:"Origins whose pages may call the REST surface, for example https://app.example.com. None by default."`

	MaxBody         int           `name:"max-body" default:"4194304" placeholder:"BYTES" help:"Largest request JSON; AzureML takes 4 MiB."`
	MaxAnswer       int           `name:"max-answer" default:"67108864" placeholder:"BYTES" help:"Largest upstream answer."`
	UpstreamTimeout time.Duration `name:"upstream-timeout" default:"110s" help:"Longest upstream call; AzureML itself ends one after 100s."`
	DrainTimeout    time.Duration `name:"drain-timeout" default:"30s" help:"How long a stop waits for calls in flight."`

	Watch jobs.Config `embed:"" group:"Watching jobs"`

	Faults emulator.Faults `embed:"" prefix:"fault-" group:"Faults of the embedded emulator"`
}

// validate checks what the tags cannot. Errors name the flag and what is allowed.
func (c *Config) validate() error {
	for _, l := range []struct{ flag, addr string }{{"--http", c.HTTP}, {"--grpc", c.GRPC}} {
		if _, port, err := net.SplitHostPort(l.addr); err != nil || port == "" {
			return fmt.Errorf("%s %q: an address is HOST:PORT, for example 127.0.0.1:8080", l.flag, l.addr)
		}
		if !c.AllowCleartext && c.TLSCert == "" && !loopback(l.addr) {
			return fmt.Errorf("%s %q: not a loopback address, and callers' keys would cross the network in cleartext; give --tls-cert and --tls-key, or --allow-cleartext behind a proxy that speaks TLS", l.flag, l.addr)
		}
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together; one is missing")
	case c.MaxBody < 1 || c.MaxBody > 256<<20:
		return fmt.Errorf("--max-body %d: allowed are 1 to %d bytes", c.MaxBody, 256<<20)
	case c.MaxAnswer < 1 || c.MaxAnswer > 1<<30:
		return fmt.Errorf("--max-answer %d: allowed are 1 to %d bytes", c.MaxAnswer, 1<<30)
	case c.UpstreamTimeout <= 0:
		return fmt.Errorf("--upstream-timeout %s: allowed is more than 0", c.UpstreamTimeout)
	case c.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout %s: allowed is 0 or more", c.DrainTimeout)
	case c.Upstream != "" && c.Faults != emulator.Faults{}:
		return errors.New("--fault-* flags are the embedded emulator's; they cannot be used with --upstream")
	}
	return c.checkData()
}

// checkData makes the data folder and writes to it once, so that a read-only one is found at the start.
func (c *Config) checkData() error {
	if c.Data == "" {
		return nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	probe := filepath.Join(c.Data, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	return os.Remove(probe)
}

// reflect reports whether reflection is served.
func (c *Config) reflect() bool {
	return c.Reflection == "on" || c.Reflection == "auto" && loopback(c.GRPC)
}

// loopback reports whether only this machine reaches an address. A host name other than localhost is not looked up.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

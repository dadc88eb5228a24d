package server

import (
	"errors"
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"time"

	"github.com/amlgate/amlgate/server/emulator"
	"github.com/amlgate/amlgate/server/jobs"
	"github.com/amlgate/amlgate/server/store"
)

// Config says how a Server runs. The tags are the command line's; every flag also has an environment variable, its name
// in capitals behind AMLGATE_. The zero value is not useful: take the defaults from the tags.
type Config struct {
	HTTP     string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Where REST listens."`
	GRPC     string `name:"grpc" default:"127.0.0.1:9090" placeholder:"ADDR" help:"Where native gRPC listens."`
	Metrics  string `name:"metrics" placeholder:"ADDR" help:"Where /metrics answers Prometheus, for example 127.0.0.1:9100; on loopback /debug/pprof/ too. None by default."`
	Upstream string `name:"upstream" placeholder:"URL" help:"AzureML's base URL, for example https://ussouthcentral.services.azureml.net. None: an embedded emulator."`

	UpstreamKeyFile string `name:"upstream-key-file" placeholder:"FILE" help:"File with the server's own key for the upstream: managed mode, in which callers show the key of --caller-key-file instead. Both files are read again when they change; a key that is good counts until the next that is."`
	CallerKeyFile   string `name:"caller-key-file" placeholder:"FILE" help:"File with the key that callers show in managed mode, as a Bearer, in Ocp-Apim-Subscription-Key or as subscription-key in the query."`

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
	MaxMessage      int           `name:"max-message" default:"0" placeholder:"BYTES" help:"Largest gRPC request message. 0: four times --max-body, since a double of one digit takes two bytes of JSON and eight here."`
	MaxInFlight     int64         `name:"max-in-flight" default:"0" placeholder:"BYTES" help:"Most bytes of requests and answers held at a time; beyond it calls are refused. 0: half of the memory limit (GOMEMLIMIT or the container's), or 1 GiB where there is none."`
	UpstreamTimeout time.Duration `name:"upstream-timeout" default:"110s" help:"Longest upstream call; AzureML itself ends one after 100s."`
	DrainTimeout    time.Duration `name:"drain-timeout" default:"30s" help:"How long a stop waits for calls in flight."`

	Store store.Config `embed:"" group:"State"`

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
	if _, port, err := net.SplitHostPort(c.Metrics); c.Metrics != "" && (err != nil || port == "") {
		return fmt.Errorf("--metrics %q: an address is HOST:PORT, for example 127.0.0.1:9100", c.Metrics)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together; one is missing")
	case c.MaxBody < 1 || c.MaxBody > 256<<20:
		return fmt.Errorf("--max-body %d: allowed are 1 to %d bytes", c.MaxBody, 256<<20)
	case c.MaxAnswer < 1 || c.MaxAnswer > 1<<30:
		return fmt.Errorf("--max-answer %d: allowed are 1 to %d bytes", c.MaxAnswer, 1<<30)
	case c.MaxMessage < 0 || c.MaxMessage > 1<<30:
		return fmt.Errorf("--max-message %d: allowed are 1 to %d bytes, and 0 for a default", c.MaxMessage, 1<<30)
	case c.MaxInFlight != 0 && c.MaxInFlight < leastInFlight(c.MaxBody, c.MaxAnswer):
		return fmt.Errorf("--max-in-flight %d: allowed are %d bytes or more, room for one request of --max-body and one answer of --max-answer, and 0 for a default", c.MaxInFlight, leastInFlight(c.MaxBody, c.MaxAnswer))
	case c.UpstreamTimeout <= 0:
		return fmt.Errorf("--upstream-timeout %s: allowed is more than 0", c.UpstreamTimeout)
	case c.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout %s: allowed is 0 or more", c.DrainTimeout)
	case c.Upstream != "" && c.Faults != emulator.Faults{}:
		return errors.New("--fault-* flags are the embedded emulator's; they cannot be used with --upstream")
	}
	return c.Store.Validate()
}

// leastInFlight is the room that one largest call needs: new requests are let into three quarters of the whole, and a
// buffer is up to a quarter larger than what lies in it. Tables can be larger than their JSON, up to four times: such an
// answer may find too little room in the least there can be.
func leastInFlight(body, answer int) int64 { return 2*int64(body) + 2*int64(answer) }

// maxInFlight is the bound on bytes in flight, from the memory limit where none is configured.
func (c *Config) maxInFlight() int64 {
	if c.MaxInFlight != 0 {
		return c.MaxInFlight
	}
	half := int64(1 << 30)
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 { // -1 only asks
		half = limit / 2
	}
	return max(half, leastInFlight(c.MaxBody, c.MaxAnswer))
}

// maxMessage is the largest gRPC message taken. What passes is measured again as JSON.
func (c *Config) maxMessage() int {
	if c.MaxMessage != 0 {
		return c.MaxMessage
	}
	return 4*c.MaxBody + 64<<10
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

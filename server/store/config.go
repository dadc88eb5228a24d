package store

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Config says where state is kept. The zero value keeps it in memory; the tags are the command line's.
type Config struct {
	Data       string `name:"data" placeholder:"DIR" help:"Folder in which jobs and request ids survive a restart. None: they are kept in memory and end with the process."`
	AcceptLoss bool   `name:"accept-loss" help:"Start although the data folder has lost acknowledged writes; the log says which."`

	NATS         string `name:"nats" placeholder:"URL" help:"External NATS (2.14 or newer, with JetStream) that replicas share, for example nats://n1:4222,nats://n2:4222. Its servers should run with sync_interval: always."`
	NATSCreds    string `name:"nats-creds" placeholder:"FILE" help:"Credentials for --nats (a .creds file)."`
	NATSCA       string `name:"nats-ca" placeholder:"FILE" help:"Certificates (PEM) that --nats servers are checked against; the system's by default."`
	NATSCert     string `name:"nats-cert" placeholder:"FILE" help:"Client certificate (PEM) for --nats."`
	NATSKey      string `name:"nats-key" placeholder:"FILE" help:"The client certificate's private key (PEM)."`
	NATSReplicas int    `name:"nats-replicas" default:"3" placeholder:"N" help:"Servers of --nats that keep a copy of everything: 1, 3 or 5."`
}

// Validate checks what the tags cannot. Errors name the flag and what is allowed; no URL's password is in them.
func (c *Config) Validate() error {
	if c.NATS == "" {
		for _, f := range []struct{ flag, value string }{
			{"--nats-creds", c.NATSCreds}, {"--nats-ca", c.NATSCA}, {"--nats-cert", c.NATSCert}, {"--nats-key", c.NATSKey}} {
			if f.value != "" {
				return fmt.Errorf("%s goes with --nats, which is missing", f.flag)
			}
		}
		if c.AcceptLoss && c.Data == "" {
			return errors.New("--accept-loss is about a folder; --data is missing")
		}
		return nil
	}
	switch {
	case c.Data != "":
		return errors.New("--data and --nats exclude each other: state is kept in this process' folder or by the cluster")
	case c.AcceptLoss:
		return errors.New("--accept-loss is about --data; it cannot be used with --nats")
	case (c.NATSCert == "") != (c.NATSKey == ""):
		return errors.New("--nats-cert and --nats-key go together; one is missing")
	case c.NATSReplicas != 0 && c.NATSReplicas != 1 && c.NATSReplicas != 3 && c.NATSReplicas != 5:
		return fmt.Errorf("--nats-replicas %d: allowed are 1, 3 and 5", c.NATSReplicas)
	}
	for _, server := range strings.Split(c.NATS, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return errors.New("--nats: a server is nats://HOST:PORT or tls://HOST:PORT; several are separated by commas")
		}
	}
	return nil
}

// durable reports whether state outlives the process.
func (c *Config) durable() bool { return c.Data != "" || c.NATS != "" }

// replicas is how many servers keep a copy.
func (c *Config) replicas() int {
	switch {
	case c.NATS == "":
		return 1
	case c.NATSReplicas == 0:
		return 3
	}
	return c.NATSReplicas
}

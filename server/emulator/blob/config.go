package blob

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"regexp"
)

const (
	// DevelopmentAccount is the account that every storage emulator has.
	DevelopmentAccount = "devstoreaccount1"

	// DevelopmentKey is that account's key. It is published by Microsoft, so
	// it protects nothing: with it an endpoint belongs on loopback only.
	DevelopmentKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Config says how an Endpoint behaves. The zero value works: New puts the
// default in the place of every zero. The tags are for a kong command line.
type Config struct {
	// Account is the only account: 3 to 24 lower-case letters and digits.
	// Default DevelopmentAccount.
	Account string `name:"account" help:"Name of the storage account." default:"devstoreaccount1"`

	// Key is the account's key: 16 to 256 bytes in base64. Default
	// DevelopmentKey, which everyone knows.
	Key string `name:"key" help:"Key of the storage account, in base64."`

	// MaxBytes is what all blobs together may hold, uncommitted blocks, names
	// and metadata included. What would pass it is refused with 413
	// RequestBodyTooLarge. 64 KiB to 1 TiB, default 1 GiB.
	MaxBytes int64 `name:"max-bytes" help:"Bytes that all blobs together may hold." default:"1073741824"`

	// Logger receives one line a request, without URLs and keys. Nil discards
	// them.
	Logger *slog.Logger `kong:"-"`
}

const (
	leastMaxBytes = 64 << 10
	mostMaxBytes  = 1 << 40
)

var accountPattern = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

// New builds an Endpoint without containers. Its error names the first flag
// that is out of its range, and the range.
func New(cfg Config) (*Endpoint, error) {
	if cfg.Account == "" {
		cfg.Account = DevelopmentAccount
	}
	if cfg.Key == "" {
		cfg.Key = DevelopmentKey
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 1 << 30
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	key, err := base64.StdEncoding.DecodeString(cfg.Key)
	switch {
	case !accountPattern.MatchString(cfg.Account):
		return nil, fmt.Errorf("--account is %q; allowed are 3 to 24 lower-case letters and digits", cfg.Account)
	case err != nil || len(key) < 16 || len(key) > 256: // the decoder's error would quote a part of the key
		return nil, fmt.Errorf("--key has %d characters; allowed is the base64 of 16 to 256 bytes", len(cfg.Key))
	case cfg.MaxBytes < leastMaxBytes || cfg.MaxBytes > mostMaxBytes:
		return nil, fmt.Errorf("--max-bytes is %d; allowed is %d to %d", cfg.MaxBytes, leastMaxBytes, int64(mostMaxBytes))
	}
	return &Endpoint{
		account: cfg.Account,
		key:     key,
		log:     cfg.Logger,
		store:   store{limit: cfg.MaxBytes, containers: map[string]*container{}},

		operations: operations(),
	}, nil
}

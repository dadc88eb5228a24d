package emulator

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// place is a URL that the emulator may open, and how results write it.
type place struct {
	url  string
	base string
	far  bool // another host than its own endpoint
}

// parseURL parses what a request's parts became together. The host is whatever
// a client would connect to, so everything that could make another of it is
// refused: user info, a fragment, a backslash, a line's end. A blank in the path
// is let through, since names of blobs have some and not all clients escape.
func parseURL(raw string) (*url.URL, error) {
	if strings.ContainsAny(raw, "\\#\t\r\n") {
		return nil, errors.New("it is not a URL")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || strings.Contains(u.RawQuery, " "):
		return nil, errors.New("it is not a URL") // err quotes the token
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("it is not a URL of http or https with a host")
	case u.User != nil:
		return nil, errors.New("its URL has user info")
	}
	return u, nil
}

// reach decides whether a URL may be opened, by its host and nothing else, and
// rewrites one of the own endpoint to the address the emulator knows it by. So
// a URL of the own endpoint never chooses where the emulator connects to.
func (s *storage) reach(u *url.URL) (place, error) {
	host, path := hostOf(u), u.EscapedPath()
	if s.own != nil {
		for _, root := range []*url.URL{s.public, s.ownRoot(s.account)} {
			if rest, below := strings.CutPrefix(path, root.EscapedPath()); below && hostOf(root) == host {
				return place{url: s.ownRoot(s.account).String() + rest, base: s.public.String()}, nil
			}
		}
		if hostOf(s.own) == host {
			at := s.own.Scheme + "://" + s.own.Host + path
			return place{url: at, base: at}, nil
		}
	}
	if s.allowed[host] {
		at := u.Scheme + "://" + u.Host + path
		return place{url: at, base: at, far: true}, nil
	}
	return place{}, fmt.Errorf("the host %s is not the emulator's own blob endpoint, and no --allow-blob-host names it", cut(u.Host))
}

// ownAccount is the place of an account of the own endpoint.
func (s *storage) ownAccount(name string) (place, error) {
	if s.own == nil {
		return place{}, errNoEndpoint
	}
	return s.reach(s.ownRoot(name))
}

func (s *storage) ownRoot(account string) *url.URL { return s.own.JoinPath(account, "/") }

var errNoEndpoint = errors.New("the emulator has no blob endpoint of its own")

// noBlobEndpoint is the problem of a job that needs the own endpoint where
// there is none. The table has no code for it.
func noBlobEndpoint() *problem {
	return invalidOperation.because("BlobEndpointNotConfigured",
		"The emulator has no blob endpoint of its own, so it can run only jobs whose input and outputs are all at hosts that --allow-blob-host names.")
}

// hostOf is the host and port that a URL connects to, for comparing.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

var hostPattern = regexp.MustCompile(`^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?$`)

// allowedHosts reads AllowBlobHosts. A host without a port is one with the
// ports of http and https.
func allowedHosts(hosts []string) (map[string]bool, error) {
	allowed := map[string]bool{}
	for _, host := range hosts {
		host = strings.ToLower(host)
		if !hostPattern.MatchString(host) {
			return nil, fmt.Errorf("--allow-blob-host is %q; allowed is a host or host:port, without scheme and path", cut(host))
		}
		for _, scheme := range []string{"http", "https"} {
			allowed[hostOf(&url.URL{Scheme: scheme, Host: host})] = true
		}
	}
	return allowed, nil
}

// errPrivate says that a host's name led to an address inside.
var errPrivate = errors.New("the host has a private address, which no --allow-blob-host names")

// guard refuses to connect to addresses that are not public, unless one is
// allowed by itself. It looks at the address the connection is about to use,
// so no name server can change its mind in between.
func (s *storage) guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivate
	}
	if ip := to.Addr().Unmap(); isPublic(ip) || s.allowed[net.JoinHostPort(ip.String(), fmt.Sprint(to.Port()))] {
		return nil
	}
	return errPrivate
}

// reserved are ranges beyond those netip knows by name that are not public, or
// that translate to addresses which need not be.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && ip.Zone() == "" &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// newClient makes a client that follows no redirect, asks no proxy, and takes
// bytes as they are stored.
func newClient(dialer *net.Dialer) *http.Client {
	dialer.Timeout = 10 * time.Second
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

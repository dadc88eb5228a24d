package blob

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// call is a request with what was read from it.
type call struct {
	*http.Request
	endpoint  *Endpoint
	container string
	blob      string
	query     map[string][]string // names in lower case, as Azure takes them
	op        operation
	sas       map[string]string // the service SAS's own parameters, if one authorized the call
	mayCreate bool              // a SAS let it create blobs, not overwrite them
}

// param is a query parameter's first value, or "".
func (c *call) param(name string) string {
	if values := c.query[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// latestVersion is said to clients that name no version.
const latestVersion = "2026-06-06"

// oldestVersion is the first with quoted ETags, which is all that is sent here.
const oldestVersion = "2011-08-18"

var versionPattern = regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d$`)

// version is the service version of the call: the header's, then the SAS's.
func (c *call) version() string {
	for _, v := range []string{c.Header.Get("X-Ms-Version"), c.param("sv")} {
		if versionPattern.MatchString(v) && v >= oldestVersion {
			return v
		}
	}
	return latestVersion
}

// parse reads what the URL names. Path-style URLs are /account/container/blob,
// and blobs' names may hold slashes.
func (c *call) parse() error {
	c.query = map[string][]string{}
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return invalidURI
	}
	for name, v := range values {
		name = strings.ToLower(name)
		c.query[name] = append(c.query[name], v...)
	}
	if v := c.Header.Get("X-Ms-Version"); v != "" && (!versionPattern.MatchString(v) || v < oldestVersion) {
		return invalidHeader("x-ms-version", v)
	}
	rest, ok := strings.CutPrefix(c.URL.Path, "/")
	account, rest, _ := strings.Cut(rest, "/")
	if !ok || account != c.endpoint.account {
		return resourceNotFound
	}
	c.container, c.blob, _ = strings.Cut(rest, "/")
	if err := c.checkNames(); err != nil {
		return err
	}
	return c.route()
}

var containerPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (c *call) checkNames() error {
	switch {
	case c.container == "" && c.blob != "":
		return invalidURI
	case c.container == "":
		return nil
	case strings.HasPrefix(c.container, "$"):
		return notImplemented("The container " + cut(c.container))
	case len(c.container) < 3 || len(c.container) > 63:
		return nameOutOfRange
	case !containerPattern.MatchString(c.container):
		return invalidName
	case utf8.RuneCountInString(c.blob) > 1024 || strings.Count(c.blob, "/") > 253:
		return nameOutOfRange
	case !utf8.ValidString(c.blob):
		return invalidName
	}
	// Azure's front end resolves dot segments, and so do most clients: a name
	// with one would be found under another.
	for segment := range strings.SplitSeq(c.blob, "/") {
		if segment == "." || segment == ".." {
			return invalidURI
		}
	}
	return nil
}

// route finds the operation by verb, depth of path, restype and comp.
func (c *call) route() error {
	level := "service"
	if c.blob != "" {
		level = "blob"
	} else if c.container != "" {
		level = "container"
	}
	method := c.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	restype, comp := strings.ToLower(c.param("restype")), strings.ToLower(c.param("comp"))
	if level == "blob" && restype == "container" {
		return invalidQuery("restype", restype, "A blob is named.")
	}
	op, ok := c.endpoint.operations[strings.Join([]string{method, level, restype, comp}, " ")]
	switch {
	case ok:
		c.op = op
		return nil
	case c.Method == http.MethodOptions:
		return corsFailure
	case !slices.Contains([]string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPost}, method):
		return unsupportedVerb
	case slices.Contains(foreignComps, comp):
		return notImplemented(c.Method + " with comp=" + comp)
	case comp != "":
		return invalidQuery("comp", comp, "It is not known here.")
	case restype != "" && restype != "container":
		return invalidQuery("restype", restype, "It is not known here.")
	}
	return unsupportedVerb
}

// foreignComps are values of comp that Azure knows, at least with some verb.
var foreignComps = []string{
	"acl", "appendblock", "batch", "blobs", "block", "blocklist", "copy", "expiry", "immutabilitypolicies", "incrementalcopy",
	"lease", "legalhold", "list", "metadata", "page", "pagelist", "properties", "query", "rename", "seal", "snapshot", "stats", "tags",
	"tier", "undelete", "userdelegationkey",
}

// foreignHeaders ask for what is not here; to go on without would be to do
// something else than was asked.
var foreignHeaders = []string{
	"X-Ms-Access-Tier", "X-Ms-Blob-Condition-Appendpos", "X-Ms-Blob-Condition-Maxsize", "X-Ms-Copy-Source", "X-Ms-Encryption-Key",
	"X-Ms-Encryption-Scope", "X-Ms-Default-Encryption-Scope", "X-Ms-Expiry-Option", "X-Ms-If-Tags",
	"X-Ms-Immutability-Policy-Mode", "X-Ms-Immutability-Policy-Until-Date", "X-Ms-Legal-Hold", "X-Ms-Rehydrate-Priority",
	"X-Ms-Structured-Body", "X-Ms-Tags",
}

// unsupported refuses parameters that would change what an operation means.
func (c *call) unsupported() error {
	if c.Header.Get("X-Ms-Copy-Source") != "" {
		return notImplemented("Copying from x-ms-copy-source")
	}
	for _, name := range foreignHeaders {
		if c.Header.Get(name) != "" {
			return unsupportedHeader(strings.ToLower(name))
		}
	}
	for _, name := range []string{"snapshot", "versionid", "deletetype"} {
		if c.query[name] != nil {
			return notImplemented("The query parameter " + name)
		}
	}
	// There are no leases, so no id can be one's.
	if c.Header.Get("X-Ms-Lease-Id") != "" {
		if c.blob == "" {
			return leaseNotOnContainer
		}
		return leaseNotOnBlob
	}
	return nil
}

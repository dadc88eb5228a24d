package emulator

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// location is a blob that a job reads or writes: how the emulator opens it, and
// what results say of it.
type location struct {
	url string // as it is opened, with the token if there is one; secret
	far bool   // another host than the emulator's own endpoint

	// How the account signs; nil where a token is all that the request gave.
	key             *azblob.SharedKeyCredential
	container, blob string

	fresh          bool   // in the emulator's own container, which may have to be made
	base, relative string // what results say; without secrets
	separator      rune   // between cells: the format, by the blob's extension
}

// locate finds out where a reference leads, without opening it. A connection
// string comes before a base location: the comment in every generated sample
// says that the one is not used where the other is.
func (s *storage) locate(ref reference) (location, *problem) {
	switch {
	case ref.connectionString == "" && ref.baseLocation == "":
		if ref.output != "" {
			return location{}, missingOverride(ref.output)
		}
		return location{}, badArgument.because("MissingInputBlobInformation",
			"Missing Azure storage blob information. Provide a valid connection string and relative path or URI and try again.")
	case ref.relativeLocation == "":
		if ref.output != "" {
			return location{}, missingOverride(ref.output)
		}
		return location{}, noBlobName()
	case ref.connectionString != "":
		return s.locateByAccount(ref)
	}
	return s.locateByURL(ref)
}

func missingOverride(output string) *problem {
	return badArgument.because("MissingOutputOverrideSpecification",
		"The request is missing the blob specification for output override %s. Please specify a valid blob location with the request, or remove the output specification if no location override is desired.", output)
}

func noBlobName() *problem {
	return badArgument.because("InputBlobRelativeLocationInvalid",
		"No Azure storage blob name provided. Provide a valid blob name and try again.")
}

// locateByAccount reads a connection string and the path of a blob, which is
// taken as it is: a '%' in it is part of a name.
func (s *storage) locateByAccount(ref reference) (location, *problem) {
	account, err := s.readAccount(ref.connectionString)
	if err != nil {
		if errors.Is(err, errNoEndpoint) {
			return location{}, noBlobEndpoint()
		}
		return location{}, badArgument.because("InvalidBlobConnectionString",
			"The connection string specified for one of the input/output blobs in invalid: %v. Please correct this and try again.", err)
	}
	container, name, p := splitPath(ref.relativeLocation)
	if p != nil {
		return location{}, p
	}
	separator, p := separatorOf(ref.relativeLocation)
	if p != nil {
		return location{}, p
	}
	at := location{
		far: account.far, key: account.key, container: container, blob: name, separator: separator,
		base: account.base, relative: container + "/" + escapeName(name),
	}
	at.url = account.url + at.relative + account.token
	return at, nil
}

var containerPattern = regexp.MustCompile(`^(\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62})$`)

// maxBlobName is Azure's limit.
const maxBlobName = 1024

// splitPath splits /container/name; both with and without the first '/' are
// what clients send.
func splitPath(relative string) (container, name string, p *problem) {
	container, name, _ = strings.Cut(strings.TrimPrefix(relative, "/"), "/")
	switch {
	case container == "":
		return "", "", badArgument.because("ContainerIsEmpty", "No Azure storage container name was provided. Provide a valid container name and try again.")
	case !containerPattern.MatchString(container) || len(container) > 63:
		return "", "", badArgument.because("ContainerSegmentInvalid", "Invalid container name. Provide a valid container name and try again.")
	case name == "":
		return "", "", noBlobName()
	case len(name) > maxBlobName:
		// The official sentence is about diagnostic output; no other is known.
		return "", "", badArgument.because("BlobNameTooLong", "Azure blob storage path provided is too long: %s. Shorten the path and try again.", shown(name))
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || segment == ".." {
			return "", "", invalidBlob(relative, "its path has a segment of dots")
		}
	}
	return container, name, nil
}

// escapeName makes a blob's name part of a URL.
func escapeName(name string) string {
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/")
}

// separators are the formats known, by the extension of the blob. AzureML also
// had .arff for datasets, which is not done here, and .ilearner for models,
// which no service here takes or makes.
var separators = map[string]rune{".csv": ',', ".tsv": '\t'}

func separatorOf(blob string) (rune, *problem) {
	separator, known := separators[strings.ToLower(path.Ext(blob))]
	if !known {
		return 0, badArgument.because("InvalidBlobExtension",
			`The blob reference: %s has an invalid or missing file extension. Supported file extensions for this output type are: ".csv, .tsv".`, shown(blob))
	}
	return separator, nil
}

// locateByURL joins the parts of a URL as every client does: one behind the
// other. Only a doubled '/' is made one, for paths that begin with it. What is
// looked at is what came out, never a part.
func (s *storage) locateByURL(ref reference) (location, *problem) {
	base, relative := ref.baseLocation, ref.relativeLocation
	if strings.HasSuffix(base, "/") {
		relative = strings.TrimPrefix(relative, "/")
	}
	u, err := parseURL(base + relative + ref.sasBlobToken)
	if err == nil && strings.ContainsAny(base, "?#") {
		err = errors.New("its base has a query")
	}
	if err != nil {
		return location{}, invalidBlob(ref.relativeLocation, err.Error())
	}
	reached, err := s.reach(u)
	if err != nil {
		return location{}, invalidBlob(ref.relativeLocation, err.Error())
	}
	relative, _, _ = strings.Cut(relative, "?")
	if relative == "" || strings.HasSuffix(relative, "/") {
		return location{}, noBlobName()
	}
	separator, p := separatorOf(u.Path)
	if p != nil {
		return location{}, p
	}
	at := location{url: reached.url, far: reached.far, base: base, relative: relative, separator: separator}
	if u.RawQuery != "" {
		at.url += "?" + u.RawQuery
	}
	return at, nil
}

func invalidBlob(relative, reason string) *problem {
	return badArgument.because("InvalidBlob",
		"Invalid blob specification for blob: %s. Verify that connection string / relative path or SAS token specification is correct and try again. Reason: %s.", shown(relative), reason)
}

// shown is the path of a blob in an error message: cut, and without secrets.
func shown(blob string) string { return redact(cut(blob)) }

// secretPattern matches the names of Azure's secrets, and what stands behind.
var secretPattern = regexp.MustCompile(`(?i)(AccountKey=|\bsig=|\bsig%3D|Bearer +)[^&;"'\s\\]*`)

// redact takes secrets out of a text that is told to clients. A name or a cell
// that holds one is unlikely, but it would be kept with the job.
func redact(text string) string { return secretPattern.ReplaceAllString(text, "${1}[redacted]") }

// account is what a connection string says.
type account struct {
	place
	key   *azblob.SharedKeyCredential // nil if there is only a token
	token string                      // with its '?'
}

// readAccount reads a connection string. Names are taken in any case and those
// not known skipped, since the strings that Azure's portal gives name queues
// and tables too. Its errors never quote the string.
func (s *storage) readAccount(connection string) (a account, err error) {
	given := map[string]string{}
	for part := range strings.SplitSeq(connection, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := given[name]; !ok || twice {
			return account{}, errors.New("it must be a list of name=value, separated by ';', with each name once")
		}
		given[name] = strings.TrimSpace(value)
	}
	if strings.EqualFold(given["usedevelopmentstorage"], "true") {
		// Azure's libraries put the published pair in its place.
		given = map[string]string{"accountname": developmentAccount, "accountkey": developmentKey}
	}
	name, key := given["accountname"], given["accountkey"]
	if a.place, err = s.blobEndpoint(given); err != nil {
		return account{}, err
	}
	switch {
	case name != "" && key != "":
		if a.key, err = azblob.NewSharedKeyCredential(name, key); err != nil {
			return account{}, errors.New("its AccountKey is not base64")
		}
	case given["sharedaccesssignature"] != "":
		a.token = "?" + strings.TrimPrefix(given["sharedaccesssignature"], "?")
		if strings.ContainsAny(a.token, "# \t") {
			return account{}, errors.New("its SharedAccessSignature is not a query")
		}
	default:
		return account{}, errors.New("it needs AccountName and AccountKey, or SharedAccessSignature")
	}
	return a, nil
}

var accountPattern = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

// blobEndpoint finds the endpoint of an account. The development account is
// the emulator's own, whatever the protocol, and needs no BlobEndpoint: so the
// published samples run with nothing changed but account and key.
func (s *storage) blobEndpoint(given map[string]string) (place, error) {
	name, protocol, suffix := given["accountname"], strings.ToLower(given["defaultendpointsprotocol"]), strings.ToLower(given["endpointsuffix"])
	if protocol == "" {
		protocol = "https"
	}
	if suffix == "" {
		suffix = "core.windows.net"
	}
	endpoint := given["blobendpoint"]
	switch {
	case endpoint != "":
		if strings.ContainsAny(endpoint, "?#") {
			return place{}, errors.New("its BlobEndpoint has a query")
		}
	case name == developmentAccount || name == s.account:
		return s.ownAccount(name)
	case !accountPattern.MatchString(name):
		return place{}, errors.New("its AccountName must be 3 to 24 lower-case letters and digits")
	case protocol != "http" && protocol != "https":
		return place{}, errors.New("its DefaultEndpointsProtocol is not http or https")
	case !hostPattern.MatchString(suffix):
		return place{}, errors.New("its EndpointSuffix is not the end of a host's name")
	default:
		endpoint = fmt.Sprintf("%s://%s.blob.%s", protocol, name, suffix)
	}
	u, err := parseURL(strings.TrimSuffix(endpoint, "/") + "/")
	if err != nil {
		return place{}, err
	}
	return s.reach(u)
}

package blob

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const putHeader = "x-ms-blob-type: BlockBlob"

// refusals are signed requests to an endpoint with blob box/a, and what is said to them.
var refusals = []struct {
	method, path, body string
	headers            []string
	status             int
	code               string
}{
	{"GET", "/box/none", "", nil, 404, "BlobNotFound"},
	{"GET", "/nobox/a", "", nil, 404, "ContainerNotFound"},
	{"GET", "/Box/a", "", nil, 400, "InvalidResourceName"},
	{"GET", "/b/a", "", nil, 400, "OutOfRangeInput"},
	{"GET", "/" + strings.Repeat("b", 64) + "/a", "", nil, 400, "OutOfRangeInput"},
	{"GET", "/box-/a", "", nil, 400, "InvalidResourceName"},
	{"GET", "/$root/a", "", nil, 501, "NotImplemented"},
	{"GET", "/$web?restype=container", "", nil, 501, "NotImplemented"},
	{"GET", "//a", "", nil, 400, "InvalidUri"},
	{"GET", "/box/" + strings.Repeat("n", 1025), "", nil, 400, "OutOfRangeInput"},
	{"GET", "/box/" + strings.Repeat("a/", 254), "", nil, 400, "OutOfRangeInput"},
	{"GET", "/box/%ff", "", nil, 400, "InvalidResourceName"},
	{"GET", "/box/x/../a", "", nil, 400, "InvalidUri"},
	{"GET", "/box/./a", "", nil, 400, "InvalidUri"},
	{"GET", "/box/a?restype=container", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box?restype=box", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box/a?comp=what", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box/a?a=%zz", "", nil, 400, "InvalidUri"},
	{"GET", "/box", "", nil, 405, "UnsupportedHttpVerb"},
	{"POST", "/box/a", "", nil, 405, "UnsupportedHttpVerb"},
	{"PATCH", "/box/a", "", nil, 405, "UnsupportedHttpVerb"},
	{"OPTIONS", "/box/a", "", nil, 403, "CorsPreflightFailure"},
	{"GET", "/box/a", "", []string{"x-ms-version: 2009-09-19"}, 400, "InvalidHeaderValue"},
	{"GET", "/box/a", "", []string{"x-ms-version: latest"}, 400, "InvalidHeaderValue"},
	{"GET", "/box/a?snapshot=2020-01-01T00:00:00.0000000Z", "", nil, 501, "NotImplemented"},
	{"GET", "/box/a?versionid=2020-01-01T00:00:00.0000000Z", "", nil, 501, "NotImplemented"},
	{"GET", "/box/a?comp=tags", "", nil, 501, "NotImplemented"},
	{"GET", "/box?restype=container&comp=acl", "", nil, 501, "NotImplemented"},
	{"PUT", "/box?restype=container&comp=acl", "", nil, 501, "NotImplemented"},
	{"PUT", "/box/a?comp=lease", "", nil, 501, "NotImplemented"},
	{"PUT", "/box/a?comp=snapshot", "", nil, 501, "NotImplemented"},
	{"PUT", "/box/a?comp=appendblock", "x", nil, 501, "NotImplemented"},
	{"PUT", "/box/a?comp=page", "x", nil, 501, "NotImplemented"},
	{"PUT", "/?restype=service&comp=properties", "x", nil, 501, "NotImplemented"},
	{"POST", "/?restype=service&comp=userdelegationkey", "x", nil, 501, "NotImplemented"},
	{"POST", "/?comp=batch", "x", nil, 501, "NotImplemented"},
	{"GET", "/box/a", "", []string{"x-ms-lease-id: 1"}, 412, "LeaseNotPresentWithBlobOperation"},
	{"DELETE", "/box?restype=container", "", []string{"x-ms-lease-id: 1"}, 412, "LeaseNotPresentWithContainerOperation"},
	{"PUT", "/box/a", "x", nil, 400, "MissingRequiredHeader"},
	{"PUT", "/box/a", "x", []string{"x-ms-blob-type: Blob"}, 400, "InvalidHeaderValue"},
	{"PUT", "/box/a", "", []string{"x-ms-blob-type: PageBlob"}, 501, "NotImplemented"},
	{"PUT", "/box/a", "", []string{putHeader, "x-ms-copy-source: http://127.0.0.1/x"}, 501, "NotImplemented"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-access-tier: Cool"}, 400, "UnsupportedHeader"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-encryption-key: k"}, 400, "UnsupportedHeader"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-tags: a=b"}, 400, "UnsupportedHeader"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-structured-body: XSM/1.0; properties=crc64"}, 400, "UnsupportedHeader"},
	{"PUT", "/box/a", "x", []string{putHeader, "Content-MD5: bad"}, 400, "InvalidMd5"},
	{"PUT", "/box/a", "x", []string{putHeader, "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "Md5Mismatch"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-blob-content-md5: AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "Md5Mismatch"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-content-crc64: AAAAAAAAAAA="}, 400, "Crc64Mismatch"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-content-crc64: AAAA"}, 400, "InvalidHeaderValue"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-content-crc64: AAAAAAAAAAA=", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "BothCrc64AndMd5HeaderPresent"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-meta-1a: v"}, 400, "InvalidMetadata"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-meta-a-b: v"}, 400, "InvalidMetadata"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-meta-a: \xff"}, 400, "InvalidMetadata"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-meta-: v"}, 400, "EmptyMetadataKey"},
	{"PUT", "/box/a", "x", []string{putHeader, "x-ms-meta-a: " + strings.Repeat("v", 8192)}, 400, "MetadataTooLarge"},
	{"PUT", "/box/a", "x", []string{putHeader, `If-Match: "1", "2"`}, 400, "MultipleConditionHeadersNotSupported"},
	{"PUT", "/box/a", "x", []string{putHeader, `If-Match: "1"`, `If-None-Match: "2"`}, 400, "MultipleConditionHeadersNotSupported"},
	{"PUT", "/box/a", "x", []string{putHeader, "If-Modified-Since: yesterday"}, 400, "InvalidHeaderValue"},
	{"PUT", "/box/a", "x", []string{putHeader, "If-Modified-Since: " + time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, 412, "ConditionNotMet"},
	{"GET", "/box/a", "", []string{"If-None-Match: *"}, 400, "UnsatisfiableCondition"},
	{"GET", "/box/none", "", []string{"If-Match: *"}, 412, "ConditionNotMet"},
	{"GET", "/box/a", "", []string{"x-ms-range-get-content-md5: true"}, 400, "InvalidHeaderValue"},
	{"GET", "/box/a", "", []string{"x-ms-range: bytes=0-1", "x-ms-range-get-content-md5: yes!"}, 400, "InvalidHeaderValue"},
	{"GET", "/box/a", "", []string{"x-ms-range: bytes=0-1", "x-ms-range-get-content-md5: true", "x-ms-range-get-content-crc64: true"}, 400, "BothCrc64AndMd5HeaderPresent"},
	{"DELETE", "/box/a", "", []string{"x-ms-delete-snapshots: only"}, 501, "NotImplemented"},
	{"DELETE", "/box/a", "", []string{"x-ms-delete-snapshots: all"}, 400, "InvalidHeaderValue"},
	{"DELETE", "/box/a", "", []string{`If-Match: "0x1"`}, 412, "ConditionNotMet"},
	{"DELETE", "/box/a?deletetype=permanent", "", nil, 501, "NotImplemented"},
	{"PUT", "/box/a?comp=properties", "", []string{"x-ms-blob-content-length: 512"}, 400, "UnsupportedHeader"},
	{"PUT", "/box/none?comp=metadata", "", nil, 404, "BlobNotFound"},
	{"PUT", "/nobox?restype=container&comp=metadata", "", nil, 404, "ContainerNotFound"},
	{"PUT", "/newbox?restype=container", "", []string{"x-ms-blob-public-access: blob"}, 409, "PublicAccessNotPermitted"},
	{"PUT", "/box?restype=container", "", nil, 409, "ContainerAlreadyExists"},
	{"PUT", "/box/a?comp=block", "x", nil, 400, "MissingRequiredQueryParameter"},
	{"PUT", "/box/a?comp=block&blockid=YQ==", "", nil, 400, "InvalidHeaderValue"},
	{"PUT", "/nobox/a?comp=block&blockid=YQ==", "x", nil, 404, "ContainerNotFound"},
	{"PUT", "/box/a?comp=blocklist", "no XML", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList><Latest>YQ==</Latest>", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList/><BlockList/>", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "<List/>", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList>YQ==</BlockList>", nil, 400, "InvalidXmlDocument"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList><Newest>YQ==</Newest></BlockList>", nil, 400, "UnsupportedXmlNode"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList><Latest>YQ==</Latest></BlockList>", nil, 400, "InvalidBlockList"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList/>", []string{"Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "Md5Mismatch"},
	{"PUT", "/box/a?comp=blocklist", "<BlockList>" + strings.Repeat("<Latest>YQ==</Latest>", 50001) + "</BlockList>", nil, 400, "BlockListTooLong"},
	{"PUT", "/box/a?comp=blocklist", strings.Repeat(" ", maxBlockList+1), nil, 413, "RequestBodyTooLarge"},
	{"GET", "/box/none?comp=blocklist", "", nil, 404, "BlobNotFound"},
	{"GET", "/box/a?comp=blocklist&blocklisttype=latest", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box?restype=container&comp=list&maxresults=-1", "", nil, 400, "OutOfRangeQueryParameterValue"},
	{"GET", "/box?restype=container&comp=list&maxresults=ten", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box?restype=container&comp=list&marker=!", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box?restype=container&comp=list&include=everything", "", nil, 400, "InvalidQueryParameterValue"},
	{"GET", "/box?restype=container&comp=list&startFrom=b", "", nil, 400, "UnsupportedQueryParameter"},
	{"GET", "/?comp=list&maxresults=0", "", nil, 400, "OutOfRangeQueryParameterValue"},
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	for _, tt := range refusals {
		name := tt.method + " " + cut(tt.path) + " " + cut(strings.Join(tt.headers, ","))
		t.Run(name, func(t *testing.T) {
			want(t, send(e, tt.method, tt.path, tt.body, tt.headers...), tt.status, tt.code)
		})
	}
	// After all that nothing has changed.
	wantText(t, send(e, "GET", "/box/a", ""), "0123456789")
	want(t, send(e, "DELETE", "/box/a", ""), 202, "")
	wantEmpty(t, e)
}

package blob

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"time"
)

// problem is a refusal: a row of Azure's table of error codes, with the facts
// of the case. It is an error so that it can travel through helpers.
type problem struct {
	status  int
	code    string
	message string
	facts   []fact // further elements of the XML error
	header  [2]string
}

// fact is an element that Azure adds to an error, such as HeaderName.
type fact struct{ name, value string }

// Error is for Go code alone; clients get document.
func (p *problem) Error() string { return p.code + ": " + p.message }

// with adds a fact. The value is cut, for it often is the client's own text.
func (p *problem) with(name, value string) *problem {
	said := *p
	said.facts = append(said.facts[:len(said.facts):len(said.facts)], fact{name, cut(value)})
	return &said
}

// The sentences are Azure's.
var (
	authenticationFailed   = &problem{status: 403, code: "AuthenticationFailed", message: "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."}
	invalidAuthentication  = &problem{status: 400, code: "InvalidAuthenticationInfo", message: "Authentication information is not given in the correct format. Check the value of Authorization header."}
	unknownScheme          = &problem{status: 401, code: "InvalidAuthenticationInfo", message: "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.", header: [2]string{"Www-Authenticate", "SharedKey"}}
	noAuthentication       = &problem{status: 401, code: "NoAuthenticationInformation", message: "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.", header: [2]string{"Www-Authenticate", "SharedKey"}}
	permissionMismatch     = &problem{status: 403, code: "AuthorizationPermissionMismatch", message: "This request is not authorized to perform this operation using this permission."}
	protocolMismatch       = &problem{status: 403, code: "AuthorizationProtocolMismatch", message: "This request is not authorized to perform this operation using this protocol."}
	resourceTypeMismatch   = &problem{status: 403, code: "AuthorizationResourceTypeMismatch", message: "This request is not authorized to perform this operation using this resource type."}
	serviceMismatch        = &problem{status: 403, code: "AuthorizationServiceMismatch", message: "This request is not authorized to perform this operation using this service."}
	sourceIPMismatch       = &problem{status: 403, code: "AuthorizationSourceIPMismatch", message: "This request is not authorized to perform this operation using this source IP."}
	corsFailure            = &problem{status: 403, code: "CorsPreflightFailure", message: "CORS not enabled or no matching rule found for this request."}
	resourceNotFound       = &problem{status: 404, code: "ResourceNotFound", message: "The specified resource does not exist."}
	containerNotFound      = &problem{status: 404, code: "ContainerNotFound", message: "The specified container does not exist."}
	blobNotFound           = &problem{status: 404, code: "BlobNotFound", message: "The specified blob does not exist."}
	containerAlreadyExists = &problem{status: 409, code: "ContainerAlreadyExists", message: "The specified container already exists."}
	blobAlreadyExists      = &problem{status: 409, code: "BlobAlreadyExists", message: "The specified blob already exists."}
	blockCountExceeded     = &problem{status: 409, code: "BlockCountExceedsLimit", message: "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks."}
	publicAccessRefused    = &problem{status: 409, code: "PublicAccessNotPermitted", message: "Public access is not permitted on this storage account."}
	missingLength          = &problem{status: 411, code: "MissingContentLengthHeader", message: "Content-Length HTTP header is not specified."}
	conditionNotMet        = &problem{status: 412, code: "ConditionNotMet", message: "The condition specified using HTTP conditional header(s) is not met."}
	notModified            = &problem{status: 304, code: "ConditionNotMet", message: "The condition specified using HTTP conditional header(s) is not met."}
	leaseNotOnBlob         = &problem{status: 412, code: "LeaseNotPresentWithBlobOperation", message: "There is currently no lease on the blob."}
	leaseNotOnContainer    = &problem{status: 412, code: "LeaseNotPresentWithContainerOperation", message: "There is currently no lease on the container."}
	bodyTooLarge           = &problem{status: 413, code: "RequestBodyTooLarge", message: "The request body is too large and exceeds the maximum permissible limit."}
	invalidRange           = &problem{status: 416, code: "InvalidRange", message: "The range specified is invalid for the current size of the resource."}
	bothChecksums          = &problem{status: 400, code: "BothCrc64AndMd5HeaderPresent", message: "Both x-ms-content-crc64 header and Content-MD5 header are present."}
	md5Mismatch            = &problem{status: 400, code: "Md5Mismatch", message: "The MD5 value specified in the request did not match with the MD5 value calculated by the server."}
	crc64Mismatch          = &problem{status: 400, code: "Crc64Mismatch", message: "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server."}
	invalidMD5             = &problem{status: 400, code: "InvalidMd5", message: "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded."}
	invalidBlobOrBlock     = &problem{status: 400, code: "InvalidBlobOrBlock", message: "The specified blob or block content is invalid."}
	invalidBlockList       = &problem{status: 400, code: "InvalidBlockList", message: "The specified block list is invalid."}
	blockListTooLong       = &problem{status: 400, code: "BlockListTooLong", message: "The block list may not contain more than 50,000 blocks."}
	invalidXML             = &problem{status: 400, code: "InvalidXmlDocument", message: "XML specified is not syntactically valid."}
	invalidInput           = &problem{status: 400, code: "InvalidInput", message: "One of the request inputs is not valid."}
	unsupportedVerb        = &problem{status: 405, code: "UnsupportedHttpVerb", message: "The resource doesn't support the specified HTTP verb."}
	overwriteRefused       = &problem{status: 403, code: "UnauthorizedBlobOverwrite", message: "This request is not authorized to perform blob overwrites."}
	invalidURI             = &problem{status: 400, code: "InvalidUri", message: "The requested URI does not represent any resource on the server."}
	invalidName            = &problem{status: 400, code: "InvalidResourceName", message: "The specified resource name contains invalid characters."}
	nameOutOfRange         = &problem{status: 400, code: "OutOfRangeInput", message: "The specified resource name length is not within the permissible limits."}
	invalidMetadata        = &problem{status: 400, code: "InvalidMetadata", message: "The metadata specified is invalid. It has characters that are not permitted."}
	emptyMetadataKey       = &problem{status: 400, code: "EmptyMetadataKey", message: "The key for one of the metadata key-value pairs is empty."}
	metadataTooLarge       = &problem{status: 400, code: "MetadataTooLarge", message: "The metadata specified exceeds the maximum permissible limit (8KB)."}
	manyConditions         = &problem{status: 400, code: "MultipleConditionHeadersNotSupported", message: "Multiple condition headers are not supported."}
	unsatisfiable          = &problem{status: 400, code: "UnsatisfiableCondition", message: "The request includes an unsatisfiable condition for this operation."}
)

// notImplemented names what Azure has and this emulator has not. 501 is a
// status that the SDKs do not retry.
func notImplemented(what string) *problem {
	return &problem{status: 501, code: "NotImplemented", message: what + " is not supported by this emulator."}
}

func invalidHeader(name, value string) *problem {
	p := &problem{status: 400, code: "InvalidHeaderValue", message: "The value for one of the HTTP headers is not in the correct format."}
	return p.with("HeaderName", name).with("HeaderValue", value)
}

func missingHeader(name string) *problem {
	p := &problem{status: 400, code: "MissingRequiredHeader", message: "An HTTP header that's mandatory for this request is not specified."}
	return p.with("HeaderName", name)
}

func unsupportedHeader(name string) *problem {
	p := &problem{status: 400, code: "UnsupportedHeader", message: "One of the HTTP headers specified in the request is not supported."}
	return p.with("HeaderName", name)
}

func invalidQuery(name, value, reason string) *problem {
	p := &problem{status: 400, code: "InvalidQueryParameterValue", message: "Value for one of the query parameters specified in the request URI is invalid."}
	return p.with("QueryParameterName", name).with("QueryParameterValue", value).with("Reason", reason)
}

func queryOutOfRange(name, value string) *problem {
	p := &problem{status: 400, code: "OutOfRangeQueryParameterValue", message: "One of the query parameters specified in the request URI is outside the permissible range."}
	return p.with("QueryParameterName", name).with("QueryParameterValue", value)
}

func missingQuery(name string) *problem {
	p := &problem{status: 400, code: "MissingRequiredQueryParameter", message: "A query parameter that's mandatory for this request is not specified."}
	return p.with("QueryParameterName", name)
}

func unsupportedQuery(name string) *problem {
	p := &problem{status: 400, code: "UnsupportedQueryParameter", message: "One of the query parameters specified in the request URI is not supported."}
	return p.with("QueryParameterName", name)
}

// full is what Azure has no 507 for: the account's limit is passed. 413 is
// documented for bodies that are too large and is not retried by the SDKs.
func (s *store) full() *problem {
	p := bodyTooLarge.with("MaxLimit", fmt.Sprint(s.limit))
	p.message += " All blobs of this emulator together may hold MaxLimit bytes."
	return p
}

// document writes the problem as Azure's XML error.
func (p *problem) document(id string) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString("<Error>")
	text := fmt.Sprintf("%s\nRequestId:%s\nTime:%s", p.message, id, time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"))
	element(&b, "Code", p.code)
	element(&b, "Message", text)
	for _, f := range p.facts {
		element(&b, f.name, f.value)
	}
	b.WriteString("</Error>")
	return b.Bytes()
}

// answer turns a problem into what goes back to the client.
func (p *problem) answer(id string) answer {
	a := answer{status: p.status, code: p.code, header: http.Header{}}
	a.header.Set("X-Ms-Error-Code", p.code)
	if p.header[0] != "" {
		a.header.Set(p.header[0], p.header[1])
	}
	if p.status != http.StatusNotModified {
		a.header.Set("Content-Type", "application/xml")
		a.body = bytesContent(p.document(id))
	}
	return a
}

// cut shortens a text that a client chose before it is repeated.
func cut(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

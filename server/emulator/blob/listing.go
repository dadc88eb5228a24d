package blob

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listing is what a list call asks for.
type listing struct {
	prefix, delimiter, marker string
	from                      string // the first name wanted, by marker
	max                       int
	include                   []string
}

const mostResults = 5000

// included are the values of include; what this endpoint has none of is taken,
// since nothing is then what there is to list.
var included = []string{
	"copy", "deleted", "deletedwithversions", "immutabilitypolicy", "legalhold", "metadata", "permissions", "snapshots", "system", "tags",
	"uncommittedblobs", "versions",
}

func (c *call) listing() (listing, error) {
	l := listing{prefix: c.param("prefix"), delimiter: c.param("delimiter"), marker: c.param("marker"), max: mostResults}
	for _, name := range []string{"startfrom", "endbefore", "showonly"} {
		if c.param(name) != "" {
			return l, unsupportedQuery(name)
		}
	}
	if v := c.param("maxresults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return l, invalidQuery("maxresults", v, "It is no number.")
		}
		if n < 1 {
			return l, queryOutOfRange("maxresults", v)
		}
		l.max = min(n, mostResults)
	}
	for _, list := range c.query["include"] {
		for word := range strings.SplitSeq(strings.ToLower(list), ",") {
			if word = strings.TrimSpace(word); word != "" && !slices.Contains(included, word) {
				return l, invalidQuery("include", word, "It is not known here.")
			}
			l.include = append(l.include, word)
		}
	}
	from, err := base64.RawURLEncoding.DecodeString(l.marker)
	if err != nil {
		return l, invalidQuery("marker", l.marker, "It is not from an answer.")
	}
	l.from = max(string(from), l.prefix)
	return l, nil
}

func (l listing) has(include string) bool { return slices.Contains(l.include, include) }

// markerOf is opaque to clients: names hold what markers must not.
func markerOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// open writes the head of a list.
func (l listing) open(b *bytes.Buffer, c *call, attributes string) {
	b.WriteString(xml.Header + `<EnumerationResults ServiceEndpoint="`)
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	_ = xml.EscapeText(b, []byte(scheme+c.Host+"/"+c.endpoint.account+"/"))
	b.WriteString(`"` + attributes + `>`)
	if l.prefix != "" {
		encodedElement(b, "Prefix", l.prefix)
	}
	optional(b, "Marker", l.marker)
	if c.param("maxresults") != "" {
		element(b, "MaxResults", strconv.Itoa(l.max))
	}
	optional(b, "Delimiter", l.delimiter)
}

// shut writes the end of a list and makes the answer.
func shut(b *bytes.Buffer, next string) answer {
	element(b, "NextMarker", next)
	b.WriteString("</EnumerationResults>")
	return answer{
		status: http.StatusOK, body: bytesContent(b.Bytes()),
		header: http.Header{"Content-Type": {"application/xml"}},
	}
}

// listContainers is List Containers.
func (e *Endpoint) listContainers(c *call) (answer, error) {
	l, err := c.listing()
	if err != nil {
		return answer{}, err
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	var b bytes.Buffer
	l.open(&b, c, "")
	b.WriteString("<Containers>")
	count, next := 0, ""
	for _, name := range e.store.containerNames(l.from) {
		if !strings.HasPrefix(name, l.prefix) {
			break // names are sorted
		}
		if count++; count > l.max {
			next = markerOf(name)
			break
		}
		of := e.store.containers[name]
		b.WriteString("<Container>")
		element(&b, "Name", name)
		b.WriteString("<Properties>")
		of.stamp.list(&b)
		b.WriteString("<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>" +
			"<HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold></Properties>")
		if l.has("metadata") {
			of.metadata.list(&b)
		}
		b.WriteString("</Container>")
	}
	b.WriteString("</Containers>")
	return shut(&b, next), nil
}

// listBlobs is List Blobs, flat or by a delimiter.
func (e *Endpoint) listBlobs(c *call) (answer, error) {
	l, err := c.listing()
	if err != nil {
		return answer{}, err
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	of, err := e.store.find(c.container)
	if err != nil {
		return answer{}, err
	}
	var b bytes.Buffer
	l.open(&b, c, ` ContainerName="`+c.container+`"`)
	b.WriteString("<Blobs>")
	next := l.blobs(&b, of)
	b.WriteString("</Blobs>")
	return shut(&b, next), nil
}

// blobs writes a page of blobs and, with a delimiter, of prefixes, and tells
// the marker of the next one.
func (l listing) blobs(b *bytes.Buffer, of *container) string {
	at, _ := slices.BinarySearch(of.names, l.from)
	for count := 0; at < len(of.names); {
		name := of.names[at]
		rest, ok := strings.CutPrefix(name, l.prefix)
		if !ok {
			return "" // names are sorted
		}
		one := of.entries[name]
		if one.blob == nil && !l.has("uncommittedblobs") {
			at++
			continue
		}
		if count++; count > l.max {
			return markerOf(name)
		}
		if cut := strings.Index(rest, l.delimiter); l.delimiter != "" && cut >= 0 {
			folder := l.prefix + rest[:cut+len(l.delimiter)]
			b.WriteString("<BlobPrefix>")
			encodedElement(b, "Name", folder)
			b.WriteString("</BlobPrefix>")
			for at < len(of.names) && strings.HasPrefix(of.names[at], folder) {
				at++
			}
			continue
		}
		one.list(b, name, l.has("metadata"))
		at++
	}
	return ""
}

// list writes an entry's <Blob>. One of uncommitted blocks alone has no length
// and no version yet.
func (e *entry) list(b *bytes.Buffer, name string, withMetadata bool) {
	b.WriteString("<Blob>")
	encodedElement(b, "Name", name)
	b.WriteString("<Properties>")
	of := e.blob
	if of == nil {
		of = &blob{}
	} else {
		element(b, "Creation-Time", of.created.Format(http.TimeFormat))
		of.stamp.list(b)
	}
	p := of.properties
	element(b, "Content-Length", strconv.FormatInt(of.content.size, 10))
	optional(b, "Content-Type", p.contentType)
	optional(b, "Content-Encoding", p.contentEncoding)
	optional(b, "Content-Language", p.contentLanguage)
	optional(b, "Content-MD5", p.contentMD5)
	optional(b, "Content-Disposition", p.contentDisposition)
	optional(b, "Cache-Control", p.cacheControl)
	b.WriteString("<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>" +
		"<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>false</ServerEncrypted></Properties>")
	if withMetadata {
		of.metadata.list(b)
	}
	b.WriteString("</Blob>")
}

// list writes a version. In lists ETags have no quotes.
func (t stamp) list(b *bytes.Buffer) {
	element(b, "Last-Modified", t.modified.Format(http.TimeFormat))
	element(b, "Etag", strings.Trim(t.etag, `"`))
}

// list writes metadata; its names are identifiers, so elements can have them.
func (m metadata) list(b *bytes.Buffer) {
	b.WriteString("<Metadata>")
	for _, name := range m.sorted() {
		element(b, name, m[name])
	}
	b.WriteString("</Metadata>")
}

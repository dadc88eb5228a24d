package blob

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// properties are a blob's own HTTP headers.
type properties struct {
	contentType, contentEncoding, contentLanguage, contentDisposition, cacheControl, contentMD5 string
}

// propertiesOf reads the x-ms-blob-* headers.
func propertiesOf(h http.Header) properties {
	return properties{
		contentType:        h.Get("X-Ms-Blob-Content-Type"),
		contentEncoding:    h.Get("X-Ms-Blob-Content-Encoding"),
		contentLanguage:    h.Get("X-Ms-Blob-Content-Language"),
		contentDisposition: h.Get("X-Ms-Blob-Content-Disposition"),
		cacheControl:       h.Get("X-Ms-Blob-Cache-Control"),
		contentMD5:         h.Get("X-Ms-Blob-Content-Md5"),
	}
}

const defaultType = "application/octet-stream"

func (p properties) size() int64 {
	return int64(len(p.contentType) + len(p.contentEncoding) + len(p.contentLanguage) + len(p.contentDisposition) +
		len(p.cacheControl) + len(p.contentMD5))
}

// overridden is the properties with what a service SAS puts in their place.
func (p properties) overridden(sas map[string]string) properties {
	for name, field := range map[string]*string{
		"rsct": &p.contentType, "rsce": &p.contentEncoding, "rscl": &p.contentLanguage,
		"rscd": &p.contentDisposition, "rscc": &p.cacheControl,
	} {
		if v := sas[name]; v != "" {
			*field = v
		}
	}
	return p
}

func (p properties) write(h http.Header) {
	for name, value := range map[string]string{
		"Content-Type": p.contentType, "Content-Encoding": p.contentEncoding, "Content-Language": p.contentLanguage,
		"Content-Disposition": p.contentDisposition, "Cache-Control": p.cacheControl,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if p.contentType == "" {
		h["Content-Type"] = nil // or net/http would guess one
	}
}

// metadata is a blob's or container's own names and values, names in lower
// case.
type metadata map[string]string

const (
	metadataPrefix = "X-Ms-Meta-"
	mostMetadata   = 8 << 10
)

// metadataName is a C# identifier in lower case, as far as headers can hold one.
var metadataName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func metadataOf(h http.Header) (metadata, error) {
	m := metadata{}
	for name, values := range h {
		key, ok := strings.CutPrefix(name, metadataPrefix)
		if !ok {
			continue
		}
		key = strings.ToLower(key)
		switch {
		case key == "":
			return nil, emptyMetadataKey
		case !metadataName.MatchString(key):
			return nil, invalidMetadata
		}
		m[key] = strings.Join(values, ",")
	}
	for _, value := range m {
		for _, b := range []byte(value) {
			if b < ' ' || b > '~' {
				return nil, invalidMetadata
			}
		}
	}
	if m.size() > mostMetadata {
		return nil, metadataTooLarge
	}
	return m, nil
}

func (m metadata) size() int64 {
	n := 0
	for name, value := range m {
		n += len(name) + len(value)
	}
	return int64(n)
}

// write sets the headers past Header.Set, which would change the names' case.
func (m metadata) write(h http.Header) {
	for name, value := range m {
		h["x-ms-meta-"+name] = []string{value}
	}
}

// sorted are the names in order, so that answers repeat.
func (m metadata) sorted() []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

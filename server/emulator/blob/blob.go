package blob

import (
	"fmt"
	"net/http"
	"strings"
)

// writeBlob sets the headers that every answer about a blob has.
func (b *blob) write(h http.Header) {
	b.stamp.write(h)
	b.metadata.write(h)
	h.Set("Accept-Ranges", "bytes")
	h.Set("X-Ms-Blob-Type", "BlockBlob")
	h.Set("X-Ms-Creation-Time", b.created.Format(http.TimeFormat))
	h.Set("X-Ms-Lease-State", "available")
	h.Set("X-Ms-Lease-Status", "unlocked")
	h.Set("X-Ms-Server-Encrypted", "false") // it is in memory, as it came
}

// putBlob is Put Blob, for block blobs.
func (e *Endpoint) putBlob(c *call) (answer, error) {
	switch kind := c.Header.Get("X-Ms-Blob-Type"); kind {
	case "BlockBlob":
	case "":
		return answer{}, missingHeader("x-ms-blob-type")
	case "PageBlob", "AppendBlob":
		return answer{}, notImplemented("A blob of type " + kind)
	default:
		return answer{}, invalidHeader("x-ms-blob-type", kind)
	}
	meta, err := metadataOf(c.Header)
	if err != nil {
		return answer{}, err
	}
	body, err := c.upload("X-Ms-Blob-Content-Md5")
	if err != nil {
		return answer{}, err
	}
	p := propertiesOf(c.Header)
	// Put Blob takes the request's own headers where there is none for the blob.
	for name, field := range map[string]*string{
		"Content-Type": &p.contentType, "Content-Encoding": &p.contentEncoding,
		"Content-Language": &p.contentLanguage, "Cache-Control": &p.cacheControl,
	} {
		if *field == "" {
			*field = c.Header.Get(name)
		}
	}
	if p.contentType == "" {
		p.contentType = defaultType
	}
	p.contentMD5 = body.md5()
	b, err := e.store.commit(c, body.size, func(*entry) (*blob, error) {
		return &blob{content: body, properties: p, metadata: meta, cost: body.size}, nil
	})
	if err != nil {
		return answer{}, err
	}
	a := written(b, http.StatusCreated)
	a.header.Set("Content-Md5", p.contentMD5)
	if c.Header.Get("Content-Md5") == "" {
		a.header.Set("X-Ms-Content-Crc64", body.crc64())
	}
	return a, nil
}

// written answers a change of a blob.
func written(b *blob, status int) answer {
	a := answer{status: status, header: http.Header{}}
	b.stamp.write(a.header)
	a.header.Set("X-Ms-Request-Server-Encrypted", "false")
	return a
}

// getBlob is Get Blob and, for HEAD, Get Blob Properties.
func (e *Endpoint) getBlob(c *call) (answer, error) {
	b, err := e.store.read(c)
	if err != nil {
		return answer{}, err
	}
	s := span{n: b.content.size}
	if c.Method == http.MethodGet { // Get Blob Properties knows no range
		if s, err = c.span(b.content.size); err != nil {
			return answer{}, err
		}
	}
	sum, crc, err := c.rangeSums(s)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, header: http.Header{}, body: b.content}
	b.write(a.header)
	b.properties.overridden(c.sas).write(a.header)
	if c.Method == http.MethodHead {
		a.header.Set("X-Ms-Access-Tier", "Hot")
		a.header.Set("X-Ms-Access-Tier-Inferred", "true")
	}
	if !s.partial {
		if b.properties.contentMD5 != "" {
			a.header.Set("Content-Md5", b.properties.contentMD5)
		}
		return a, nil
	}
	a.status, a.body = http.StatusPartialContent, b.content.slice(s.from, s.n)
	a.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.from, s.from+s.n-1, b.content.size))
	if b.properties.contentMD5 != "" {
		a.header.Set("X-Ms-Blob-Content-Md5", b.properties.contentMD5)
	}
	if sum {
		a.header.Set("Content-Md5", a.body.md5())
	}
	if crc {
		a.header.Set("X-Ms-Content-Crc64", a.body.crc64())
	}
	return a, nil
}

// getBlobMetadata is Get Blob Metadata.
func (e *Endpoint) getBlobMetadata(c *call) (answer, error) {
	b, err := e.store.read(c)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, header: http.Header{}}
	b.stamp.write(a.header)
	b.metadata.write(a.header)
	return a, nil
}

// setBlobMetadata is Set Blob Metadata: all of it is replaced.
func (e *Endpoint) setBlobMetadata(c *call) (answer, error) {
	meta, err := metadataOf(c.Header)
	if err != nil {
		return answer{}, err
	}
	b, err := e.store.change(c, func(b *blob) { b.metadata = meta })
	if err != nil {
		return answer{}, err
	}
	return written(b, http.StatusOK), nil
}

// setBlobProperties is Set Blob Properties: what is not sent is cleared.
func (e *Endpoint) setBlobProperties(c *call) (answer, error) {
	for _, name := range []string{"X-Ms-Blob-Content-Length", "X-Ms-Sequence-Number-Action"} {
		if c.Header.Get(name) != "" { // of page blobs
			return answer{}, unsupportedHeader(strings.ToLower(name))
		}
	}
	b, err := e.store.change(c, func(b *blob) { b.properties = propertiesOf(c.Header) })
	if err != nil {
		return answer{}, err
	}
	return written(b, http.StatusOK), nil
}

// deleteBlob is Delete Blob. It is gone at once, its uncommitted blocks too.
func (e *Endpoint) deleteBlob(c *call) (answer, error) {
	switch v := c.Header.Get("X-Ms-Delete-Snapshots"); v {
	case "", "include": // there are none to stand in the way or to go with it
	case "only":
		return answer{}, notImplemented("x-ms-delete-snapshots: only")
	default:
		return answer{}, invalidHeader("x-ms-delete-snapshots", v)
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	in, err := e.store.find(c.container)
	if err != nil {
		return answer{}, err
	}
	gone := in.entry(c.blob)
	if gone.blob == nil {
		return answer{}, blobNotFound
	}
	if err := c.checkWrite(&gone.blob.stamp, conditionNotMet); err != nil {
		return answer{}, err
	}
	e.store.used -= gone.blob.cost + gone.pendingCost()
	gone.blob, gone.pending = nil, nil
	in.tidy(c.blob)
	a := answer{status: http.StatusAccepted, header: http.Header{}}
	a.header.Set("X-Ms-Delete-Type-Permanent", "true")
	return a, nil
}

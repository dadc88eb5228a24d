package blob

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash/crc64"
	"io"
)

// content is bytes in pieces, so that blocks become a blob without a copy. It
// is never changed.
type content struct {
	parts [][]byte
	size  int64
}

func bytesContent(b []byte) content { return content{parts: [][]byte{b}, size: int64(len(b))} }

// joined puts one content after another.
func (c content) joined(next content) content {
	return content{parts: append(c.parts, next.parts...), size: c.size + next.size}
}

// slice is the part of length n from offset from, which must be inside.
func (c content) slice(from, n int64) content {
	s := content{size: n}
	for _, p := range c.parts {
		size := int64(len(p))
		if from >= size {
			from -= size
			continue
		}
		p = p[from:min(size, from+n)]
		from, n = 0, n-int64(len(p))
		if len(p) > 0 {
			s.parts = append(s.parts, p)
		}
		if n == 0 {
			break
		}
	}
	return s
}

func (c content) writeTo(w io.Writer) error {
	for _, p := range c.parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// md5 is the digest in base64, as headers have it.
func (c content) md5() string {
	h := md5.New()
	_ = c.writeTo(h) // a hash does not fail
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// azureCRC is the polynomial of Azure Storage's CRC-64, reversed.
var azureCRC = crc64.MakeTable(0x9A6C9329AC4BC9B5)

// crc64 is the checksum in base64, least significant byte first.
func (c content) crc64() string {
	h := crc64.New(azureCRC)
	_ = c.writeTo(h)
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, h.Sum64()))
}

// upload reads the call's body whole. It reserves its length in the store
// first, so that all uploads under way are bounded too; the caller hands the
// reservation on or releases it. md5Header names the header with the digest to
// check besides Content-MD5, if there is one.
func (c *call) upload(md5Header string) (content, error) {
	n := c.ContentLength
	if n < 0 {
		return content{}, missingLength
	}
	if err := c.endpoint.store.exists(c.container); err != nil {
		return content{}, err
	}
	if err := c.endpoint.store.reserve(n); err != nil {
		return content{}, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(c.Body, data); err != nil {
		c.endpoint.store.release(n)
		return content{}, invalidInput
	}
	body := bytesContent(data)
	if err := c.verify(body, md5Header); err != nil {
		c.endpoint.store.release(n)
		return content{}, err
	}
	return body, nil
}

// verify compares a body with the checksums that were sent with it.
func (c *call) verify(body content, md5Header string) error {
	sum, crc := c.Header.Get("Content-Md5"), c.Header.Get("X-Ms-Content-Crc64")
	if sum != "" && crc != "" {
		return bothChecksums
	}
	if own := c.Header.Get(md5Header); own != "" {
		sum = own // Put Blob: x-ms-blob-content-md5 takes precedence
	}
	if sum != "" {
		if digest, err := base64.StdEncoding.DecodeString(sum); err != nil || len(digest) != md5.Size {
			return invalidMD5
		}
		if calculated := body.md5(); calculated != sum {
			return md5Mismatch.with("UserSpecifiedMd5", sum).with("ServerCalculatedMd5", calculated)
		}
	}
	if crc != "" {
		if digest, err := base64.StdEncoding.DecodeString(crc); err != nil || len(digest) != crc64.Size {
			return invalidHeader("x-ms-content-crc64", crc)
		}
		if calculated := body.crc64(); calculated != crc {
			return crc64Mismatch.with("UserSpecifiedCrc64", crc).with("ServerCalculatedCrc64", calculated)
		}
	}
	return nil
}

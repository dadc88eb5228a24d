package blob

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	maxPending   = 100_000 // uncommitted blocks of a blob
	maxBlocks    = 50_000  // blocks in a list
	maxBlockList = 16 << 20
	maxBlockID   = 64 // bytes, decoded
)

// checkBlockID refuses what is no block id.
func checkBlockID(id string) error {
	raw, err := base64.StdEncoding.DecodeString(id)
	switch {
	case id == "":
		return missingQuery("blockid")
	case err != nil || base64.StdEncoding.EncodeToString(raw) != id:
		return invalidQuery("blockid", id, "Not a valid base64 string.")
	case len(raw) > maxBlockID:
		p := *nameOutOfRange
		p.message = "One of the request inputs is out of range."
		return p.with("QueryParameterName", "blockid").with("Reason", "Block ID length cannot exceed 64.")
	}
	return nil
}

// putBlock is Put Block.
func (e *Endpoint) putBlock(c *call) (answer, error) {
	id := c.param("blockid")
	if err := checkBlockID(id); err != nil {
		return answer{}, err
	}
	if c.ContentLength == 0 {
		return answer{}, invalidHeader("Content-Length", "0")
	}
	body, err := c.upload("")
	if err != nil {
		return answer{}, err
	}
	b := block{id: id, content: body, cost: body.size + blockCost + int64(len(id)+len(c.blob))}
	if err := e.store.stage(c, b, body.size); err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusCreated, header: http.Header{}}
	a.header.Set("X-Ms-Request-Server-Encrypted", "false")
	if sum := c.Header.Get("Content-Md5"); sum != "" {
		a.header.Set("Content-Md5", sum)
	} else {
		a.header.Set("X-Ms-Content-Crc64", body.crc64())
	}
	return a, nil
}

// chosen is an element of a block list: where to look for a block, and its id.
type chosen struct{ where, id string }

// putBlockList is Put Block List.
func (e *Endpoint) putBlockList(c *call) (answer, error) {
	meta, err := metadataOf(c.Header)
	if err != nil {
		return answer{}, err
	}
	if c.ContentLength < 0 {
		return answer{}, missingLength
	}
	data, err := io.ReadAll(io.LimitReader(c.Body, maxBlockList+1))
	switch {
	case err != nil:
		return answer{}, invalidInput
	case len(data) > maxBlockList:
		return answer{}, bodyTooLarge.with("MaxLimit", strconv.Itoa(maxBlockList))
	}
	body := bytesContent(data)
	if err := c.verify(body, ""); err != nil {
		return answer{}, err
	}
	list, err := parseBlockList(data)
	if err != nil {
		return answer{}, err
	}
	p := propertiesOf(c.Header)
	if p.contentType == "" {
		p.contentType = defaultType
	}
	b, err := e.store.commit(c, 0, func(from *entry) (*blob, error) {
		b, err := from.assemble(list)
		if err != nil {
			return nil, err
		}
		b.properties, b.metadata = p, meta
		return b, nil
	})
	if err != nil {
		return answer{}, err
	}
	a := written(b, http.StatusCreated)
	if c.Header.Get("Content-Md5") != "" {
		a.header.Set("Content-Md5", body.md5())
	} else {
		a.header.Set("X-Ms-Content-Crc64", body.crc64())
	}
	return a, nil
}

// parseBlockList reads <BlockList> with its <Latest>, <Committed> and
// <Uncommitted> in their order, which is the blob's.
func parseBlockList(data []byte) ([]chosen, error) {
	dec := xml.NewDecoder(bytes.NewReader(data))
	var list []chosen
	opened, closed := false, false
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && closed {
			return list, nil
		}
		if err != nil {
			return nil, invalidXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			if !opened && t.Name.Local == "BlockList" {
				opened = true
				continue
			}
			if !opened || closed {
				return nil, invalidXML
			}
			switch t.Name.Local {
			case "Latest", "Committed", "Uncommitted":
			default:
				return nil, &problem{status: 400, code: "UnsupportedXmlNode", message: "One of the XML nodes specified in the request body is not supported."}
			}
			var id string
			if dec.DecodeElement(&id, &t) != nil {
				return nil, invalidXML
			}
			if len(list) == maxBlocks {
				return nil, blockListTooLong
			}
			list = append(list, chosen{t.Name.Local, strings.TrimSpace(id)})
		case xml.EndElement:
			closed = true
		case xml.CharData:
			if text := bytes.TrimPrefix(t, []byte("\ufeff")); len(bytes.TrimSpace(text)) > 0 { // .NET sends a byte order mark
				return nil, invalidXML
			}
		}
	}
}

// assemble makes a blob of the blocks that a list chooses.
func (e *entry) assemble(list []chosen) (*blob, error) {
	committed := map[string]block{}
	if e.blob != nil {
		for _, b := range e.blob.blocks {
			committed[b.id] = b
		}
	}
	made := &blob{blocks: make([]block, 0, len(list))}
	counted := map[*byte]bool{}
	for _, want := range list {
		b, ok := e.pending[want.id]
		if want.where == "Committed" || want.where == "Latest" && !ok {
			b, ok = committed[want.id]
		}
		if !ok {
			return nil, invalidBlockList
		}
		made.blocks = append(made.blocks, b)
		made.content = made.content.joined(b.content)
		made.cost += blockCost
		// A block may be chosen twice and is in memory once.
		if first := &b.content.parts[0][0]; !counted[first] {
			counted[first] = true
			made.cost += b.content.size
		}
	}
	return made, nil
}

// getBlockList is Get Block List.
func (e *Endpoint) getBlockList(c *call) (answer, error) {
	kind := strings.ToLower(c.param("blocklisttype"))
	switch kind {
	case "":
		kind = "committed"
	case "committed", "uncommitted", "all":
	default:
		return answer{}, invalidQuery("blocklisttype", kind, "It is committed, uncommitted or all.")
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	in, err := e.store.find(c.container)
	if err != nil {
		return answer{}, err
	}
	of := in.entry(c.blob)
	a := answer{status: http.StatusOK, header: http.Header{}}
	a.header.Set("Content-Type", "application/xml")
	var b bytes.Buffer
	b.WriteString(xml.Header + "<BlockList>")
	switch {
	case of.blob == nil && len(of.pending) == 0:
		return answer{}, blobNotFound
	case of.blob != nil:
		of.blob.stamp.write(a.header)
		a.header.Set("X-Ms-Blob-Content-Length", strconv.FormatInt(of.blob.content.size, 10))
	}
	if kind != "uncommitted" {
		b.WriteString("<CommittedBlocks>")
		if of.blob != nil {
			for _, one := range of.blob.blocks {
				one.write(&b)
			}
		}
		b.WriteString("</CommittedBlocks>")
	}
	if kind != "committed" {
		b.WriteString("<UncommittedBlocks>")
		for _, id := range of.order {
			of.pending[id].write(&b)
		}
		b.WriteString("</UncommittedBlocks>")
	}
	b.WriteString("</BlockList>")
	a.body = bytesContent(b.Bytes())
	return a, nil
}

func (b block) write(to *bytes.Buffer) {
	to.WriteString("<Block>")
	element(to, "Name", b.id)
	element(to, "Size", strconv.FormatInt(b.content.size, 10))
	to.WriteString("</Block>")
}

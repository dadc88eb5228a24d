package blob

import (
	"bytes"
	"encoding/xml"
	"net/url"
	"unicode/utf8"
)

// element writes <name>text</name>. name is ours or was checked.
func element(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(text)) // a bytes.Buffer does not fail
	b.WriteString("</" + name + ">")
}

// optional writes an element unless text is empty.
func optional(b *bytes.Buffer, name, text string) {
	if text != "" {
		element(b, name, text)
	}
}

// encodedElement writes a name or prefix. One with characters that XML cannot
// hold is percent-encoded and says so, as Azure does since 2021-02-12.
func encodedElement(b *bytes.Buffer, name, text string) {
	if validXML(text) {
		element(b, name, text)
		return
	}
	b.WriteString("<" + name + ` Encoded="true">`)
	_ = xml.EscapeText(b, []byte(url.PathEscape(text)))
	b.WriteString("</" + name + ">")
}

// validXML reports whether XML 1.0 can hold all of s. Names are UTF-8 already.
func validXML(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		// A carriage return would come back as a line feed.
		if r < 0x20 && r != '\t' && r != '\n' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

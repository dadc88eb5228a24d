package emulator

import (
	"encoding/json"
	"iter"
	"strings"
)

// cursor walks JSON text that checkText found valid, so it meets wrong kinds
// of values but never wrong syntax. It is there because a body of 4 MB is some
// 800,000 cells, and encoding/json would make a tree of them first; a cell
// without escapes is a slice of the body here.
type cursor struct {
	text string
	at   int // offset of the next byte, always that of the whole body
}

// Kinds of JSON values, named by their first byte.
const (
	kindObject = '{'
	kindArray  = '['
	kindString = '"'
	kindNumber = '0'
	kindTrue   = 't'
	kindFalse  = 'f'
	kindNull   = 'n'
)

// kind moves to the next value and tells its kind.
func (c *cursor) kind() byte {
	c.skipBlanks()
	switch b := c.text[c.at]; b {
	case kindObject, kindArray, kindString, kindTrue, kindFalse, kindNull:
		return b
	}
	return kindNumber
}

// isBlank knows the four blanks of JSON, and no others of Unicode.
func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

func (c *cursor) skipBlanks() {
	for isBlank(rune(c.text[c.at])) {
		c.at++
	}
}

// members yields the names of the object at the cursor. The loop's body has to
// consume the value of each.
func (c *cursor) members() iter.Seq[string] {
	return func(yield func(string) bool) {
		c.at++ // {
		for {
			c.skipBlanks()
			switch c.text[c.at] {
			case '}':
				c.at++
				return
			case ',':
				c.at++
				c.skipBlanks()
			}
			name := c.quoted()
			c.skipBlanks()
			c.at++ // :
			if !yield(name) {
				return
			}
		}
	}
}

// elements yields the indices of the array at the cursor. The loop's body has
// to consume each element.
func (c *cursor) elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		c.at++ // [
		for i := 0; ; i++ {
			c.skipBlanks()
			switch c.text[c.at] {
			case ']':
				c.at++
				return
			case ',':
				c.at++
			}
			if !yield(i) {
				return
			}
		}
	}
}

// quoted consumes a string and returns what it says.
func (c *cursor) quoted() string {
	c.skipBlanks()
	from := c.at
	escaped := false
	for c.at++; c.text[c.at] != '"'; c.at++ {
		if c.text[c.at] == '\\' {
			escaped = true
			c.at++
		}
	}
	c.at++
	if !escaped {
		return c.text[from+1 : c.at-1]
	}
	var text string
	// Cannot fail: checkText read the same bytes.
	_ = json.Unmarshal([]byte(c.text[from:c.at]), &text)
	return text
}

// literal is one JSON value that may stand in a cell; of arrays and objects it
// holds the kind only.
type literal struct {
	kind byte
	text string // what a string says, a number as it was written
}

// literal consumes the next value.
func (c *cursor) literal() literal {
	kind := c.kind()
	from := c.at
	switch kind {
	case kindString:
		return literal{kind, c.quoted()}
	case kindNumber:
		for c.at < len(c.text) && strings.IndexByte("+-.0123456789Ee", c.text[c.at]) >= 0 {
			c.at++
		}
		return literal{kind, c.text[from:c.at]}
	}
	c.skip()
	return literal{kind: kind}
}

// skip consumes the next value, whatever it is.
func (c *cursor) skip() {
	switch c.kind() {
	case kindString:
		c.quoted()
	case kindNumber:
		c.literal()
	case kindTrue, kindNull:
		c.at += 4
	case kindFalse:
		c.at += 5
	case kindArray:
		for range c.elements() {
			c.skip() // as deep as maxDepth at most
		}
	case kindObject:
		for range c.members() {
			c.skip()
		}
	}
}

// show repeats a value in an error message.
func (l literal) show() string {
	switch l.kind {
	case kindObject:
		return "an object"
	case kindArray:
		return "an array"
	case kindString:
		return `"` + cut(l.text) + `"`
	case kindNumber:
		return cut(l.text)
	case kindTrue:
		return "true"
	case kindFalse:
		return "false"
	}
	return "null"
}

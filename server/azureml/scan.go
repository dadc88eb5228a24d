package azureml

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nested arrays and objects in what is read; encoding/json has the same bound.
const maxDepth = 10000

// SyntaxError says where an answer stops being JSON.
type SyntaxError struct {
	Offset int
	Want   string
}

// Error names the byte and what was expected there.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("no valid JSON at byte %d: %s expected", e.Offset, e.Want)
}

// scanner walks through JSON without building anything of it. Its methods stand on the first byte of what they read
// and leave the scanner behind its last.
type scanner struct {
	b []byte
	i int

	credit   int             // how many bytes the row counts of tables may still be guessed from
	expected int             // rows of the table being read
	kept     strings.Builder // the last of the pieces that hold texts
	scratch  []byte          // a text without its escapes
}

// Texts are put into pieces of memory of so many bytes: each twice as large as the one before.
const (
	firstPiece = 1 << 10
	lastPiece  = 64 << 10
)

// keep returns raw as a string. Texts share pieces of memory, none of them that of the answer.
func (s *scanner) keep(raw []byte) string {
	if len(raw) > lastPiece/8 {
		return string(raw)
	}
	if room := s.kept.Cap(); room-s.kept.Len() < len(raw) {
		s.kept.Reset() // which leaves what was kept to those who have it
		s.kept.Grow(max(len(raw), min(max(2*room, firstPiece), lastPiece, len(raw)+len(s.b)-s.i)))
	}
	from := s.kept.Len()
	s.kept.Write(raw)
	return s.kept.String()[from:]
}

func (s *scanner) fail(want string) error { return &SyntaxError{s.i, want} }

// peek skips blanks and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// accept skips blanks and then c, if it is c that comes.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// object calls member with each name of an object; member reads the value.
func (s *scanner) object(member func(name string) error) error {
	if !s.accept('{') {
		return s.fail("an object")
	}
	if s.accept('}') {
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fail("a member's name")
		}
		raw, plain, err := s.quoted()
		if err != nil {
			return err
		}
		if !s.accept(':') {
			return s.fail("':'")
		}
		if err := member(unquote(raw, plain)); err != nil {
			return err
		}
		if s.accept('}') {
			return nil
		}
		if !s.accept(',') {
			return s.fail("',' or '}'")
		}
	}
}

// array calls item at each item of an array; item reads it.
func (s *scanner) array(item func(n int) error) error {
	if !s.accept('[') {
		return s.fail("an array")
	}
	if s.accept(']') {
		return nil
	}
	for n := 0; ; n++ {
		if err := item(n); err != nil {
			return err
		}
		if s.accept(']') {
			return nil
		}
		if !s.accept(',') {
			return s.fail("',' or ']'")
		}
	}
}

// texts reads an array of texts; odd says that something else is among them. What is no array is no list.
func (s *scanner) texts() (list []string, odd bool, err error) {
	if s.peek() != '[' {
		_, err = s.skip()
		return nil, false, err
	}
	list = []string{}
	err = s.array(func(int) error {
		if s.peek() != '"' {
			odd = true
			_, err := s.skip()
			return err
		}
		raw, plain, err := s.quoted()
		list = append(list, s.keep(s.unescaped(raw, plain)))
		return err
	})
	return list, odd, err
}

// quoted reads a text and returns what stands between its quotes; if plain, that is the text: ASCII without escapes.
func (s *scanner) quoted() (raw []byte, plain bool, err error) {
	s.i++
	start := s.i
	beyond := uint64(highs) // marks what is not ASCII, until some was seen
	for {
		for len(s.b)-s.i >= 8 {
			w := binary.LittleEndian.Uint64(s.b[s.i:])
			mask := special(w) | w&beyond
			if mask == 0 {
				s.i += 8
				continue
			}
			s.i += bits.TrailingZeros64(mask) / 8
			break
		}
		if s.i >= len(s.b) {
			return nil, false, s.fail("the end of a text")
		}
		switch c := s.b[s.i]; {
		case c == '"':
			raw = s.b[start:s.i]
			s.i++
			return raw, beyond != 0, nil
		case c == '\\':
			beyond = 0
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, s.fail("no control character in a text")
		case c >= utf8.RuneSelf:
			beyond = 0
			s.i++
		default:
			s.i++
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of w that are quotes, backslashes or control characters in their highest bits. The lowest mark
// is right; above it there may be too many.
func special(w uint64) uint64 {
	quote, backslash := w^'"'*ones, w^'\\'*ones
	return ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-' '*ones)&^w) & highs
}

// escape skips one backslash sequence.
func (s *scanner) escape() error {
	if s.i+1 >= len(s.b) {
		return s.fail("an escape")
	}
	switch s.b[s.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i += 2
		return nil
	case 'u':
		if s.i+6 <= len(s.b) && hex4(s.b[s.i+2:s.i+6]) >= 0 {
			s.i += 6
			return nil
		}
	}
	return s.fail("an escape")
}

// number reads a number and returns its characters.
func (s *scanner) number() ([]byte, error) {
	start := s.i
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	switch {
	case s.i < len(s.b) && s.b[s.i] == '0':
		s.i++
	case !s.digits():
		return nil, s.fail("a value")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return nil, s.fail("a digit")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			return nil, s.fail("a digit")
		}
	}
	return s.b[start:s.i], nil
}

// digits skips digits and reports whether there was one.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
		s.i++
	}
	return s.i > start
}

// word reads true, false or null.
func (s *scanner) word() ([]byte, error) {
	for _, w := range [...]string{"true", "false", "null"} {
		if len(s.b)-s.i >= len(w) && string(s.b[s.i:s.i+len(w)]) == w {
			s.i += len(w)
			return s.b[s.i-len(w) : s.i], nil
		}
	}
	return nil, s.fail("a value")
}

// skip reads any value and returns its characters. It checks the value's syntax and uses no stack of the machine's.
func (s *scanner) skip() ([]byte, error) { return s.nested(0) }

// nested is skip for a value that stands in so many brackets, which count as open.
func (s *scanner) nested(depth int) ([]byte, error) {
	s.peek()
	start := s.i
	var open []byte // the brackets not closed yet
	for {
		opened, err := s.open(&open, depth)
		if err != nil {
			return nil, err
		}
		// A value has ended, unless a bracket was opened: close what closes behind it.
		for !opened {
			if len(open) == 0 {
				return s.b[start:s.i], nil
			}
			closing := open[len(open)-1] + 2 // '{' + 2 is '}', '[' + 2 is ']'
			if s.accept(closing) {
				open = open[:len(open)-1]
				continue
			}
			if !s.accept(',') {
				return nil, s.fail("',' or '" + string(closing) + "'")
			}
			if closing == '}' {
				if err := s.name(); err != nil {
					return nil, err
				}
			}
			break
		}
	}
}

// open reads a value that is no bracket, or opens a bracket that is not empty; it reports the latter.
func (s *scanner) open(open *[]byte, depth int) (bool, error) {
	switch c := s.peek(); c {
	case '{', '[':
		if depth+len(*open) >= maxDepth {
			return false, s.fail("no deeper nesting")
		}
		s.i++
		if s.accept(c + 2) {
			return false, nil
		}
		*open = append(*open, c)
		if c == '{' {
			return true, s.name()
		}
		return true, nil
	case '"':
		_, _, err := s.quoted()
		return false, err
	case 't', 'f', 'n':
		_, err := s.word()
		return false, err
	default:
		_, err := s.number()
		return false, err
	}
}

// name reads a member's name and the colon behind it.
func (s *scanner) name() error {
	if s.peek() != '"' {
		return s.fail("a member's name")
	}
	if _, _, err := s.quoted(); err != nil {
		return err
	}
	if !s.accept(':') {
		return s.fail("':'")
	}
	return nil
}

// unquote returns the text that raw, the inside of a JSON text, stands for. Lone surrogates and what is not UTF-8
// become U+FFFD, as encoding/json has it.
func unquote(raw []byte, plain bool) string {
	if plain {
		return string(raw)
	}
	return string(appendUnquoted(nil, raw))
}

// unescaped is unquote without a string of its own: what it returns is good until the next text.
func (s *scanner) unescaped(raw []byte, plain bool) []byte {
	if plain {
		return raw
	}
	s.scratch = appendUnquoted(s.scratch[:0], raw)
	return s.scratch
}

// appendUnquoted appends what unquote returns.
func appendUnquoted(out, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			r, n := utf8.DecodeRune(raw[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		c := raw[i+1]
		i += 2
		switch c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(raw[i+2:]))
				}
				if r = pair; pair != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return out
}

// hex4 reads four hex digits; -1 where they are none.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

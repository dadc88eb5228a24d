package emulator

import "testing"

// The vectors with seed 0 of the table at https://stackoverflow.com/a/31929528
// that most implementations test by, and the words of the published example.
func TestMurmur3(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{
		"":                 0,
		"\xff\xff\xff\xff": 0x76293B50,
		"\x21\x43\x65\x87": 0xF55B516B,
		"\x21\x43\x65":     0x7E4A8634,
		"\x21\x43":         0xA0F7B07A,
		"\x21":             0x72661CF4,
		"\x00\x00\x00\x00": 0x2362F9DE,
		"\x00\x00\x00":     0x85F0B427,
		"\x00\x00":         0x30F4C306,
		"\x00":             0x514E28B7,
		"This":             0xb2a3281f,
		"is":               0x7882356d,
		"a":                0x3c2569b2,
		"good":             0x06e18041,
		"day":              0xe0fe498d,
		"hello, world":     0x149bbb7f,
		"The quick brown fox jumps over the lazy dog": 0x2e4ff723,
	} {
		if got := murmur3(text); got != want {
			t.Errorf("%q: got %08x, want %08x", text, got, want)
		}
	}
}

func TestCountNgrams(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][buckets]int{
		"This is a good day":           {1, 1, 2, 2, 0, 2, 0, 1},
		"  This\tis a\r\ngood   day\n": {1, 1, 2, 2, 0, 2, 0, 1},
		"":                             {},
		" \t ":                         {},
		"This":                         {7: 1},
		"This This":                    {7: 2, 2: 1}, // 0xb2a3281f * 27942141 + 0xb2a3281f is 2 modulo 8
		"day":                          {5: 1},
		"a":                            {2: 1},
		"good":                         {1: 1},
		"good day":                     {1: 1, 5: 1, 2: 1},
	} {
		if got := countNgrams(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	if countNgrams("this is a good day") == countNgrams("This is a good day") {
		t.Error("case does not matter")
	}
	if countNgrams("a\u00a0b") == countNgrams("a b") {
		t.Error("a no-break space separates words")
	}
}

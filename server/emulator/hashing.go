package emulator

import (
	"fmt"
	"math/bits"
	"strings"
)

const (
	hashBits = 3 // of the published example: 2^3 columns
	buckets  = 1 << hashBits

	// bigramFactor joins the hashes of two neighbours; in Vowpal Wabbit it is
	// quadratic_constant.
	bigramFactor = 27942141
)

// featureHashing is the example of Microsoft's article on API Management: one
// text column, Feature Hashing with a bitsize of 3 and N-grams of up to 2.
//
// What the article's answer looked like is lost. The text column is kept and
// the hashed ones are named as by the module's successor, whose source says
// that its rule comes from this one; the type Int32 is a guess.
func featureHashing() *service {
	columns := []column{{
		name: "Col2", typ: typeString, sample: `"This is a good day"`,
		description: "A text. Words are what stands between blanks; case matters.",
	}}
	output := port{name: "output1", columns: columns[:1:1]}
	for i := range buckets {
		output.columns = append(output.columns, column{
			name: fmt.Sprintf("Col2_HashingFeature.%d", i), typ: typeInt32, present: true,
			description: fmt.Sprintf("How many words and pairs of neighbouring words fell into bucket %d.", i),
		})
	}
	return &service{
		id:          "feature-hashing",
		description: "Feature Hashing of a text column into 2^3 columns, N-grams of 1 and 2, as Vowpal Wabbit hashes them.",
		input:       port{name: "input1", columns: columns},
		outputs:     []port{output},
		score:       hashFeatures,
	}
}

// hashFeatures keeps a row whose text is missing: it has no n-grams, so its
// counts are 0.
func hashFeatures(input, _ *table) []*table {
	texts := input.vectors[0]
	out := &table{rows: input.rows, vectors: make([]vector, 1+buckets)}
	out.vectors[0] = texts
	for i := range buckets {
		out.vectors[1+i].numbers = make([]float64, input.rows)
	}
	for row := range input.rows {
		for i, count := range countNgrams(texts.texts[row]) {
			out.vectors[1+i].numbers[row] = float64(count)
		}
	}
	return []*table{out}
}

// countNgrams counts the words and bigrams of a text in each bucket. The
// published example shows spaces only between words; the other blanks separate
// in Vowpal Wabbit's text format or end a line.
func countNgrams(text string) (counts [buckets]int) {
	const mask = buckets - 1
	previous, first := uint32(0), true
	for word := range strings.FieldsFuncSeq(text, isBlank) {
		hash := murmur3(word)
		counts[hash&mask]++
		if !first {
			counts[(previous*bigramFactor+hash)&mask]++
		}
		previous, first = hash, false
	}
	return counts
}

// murmur3 is MurmurHash3_x86_32 of the text's UTF-8 with seed 0.
func murmur3(text string) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	scramble := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	h, length := uint32(0), uint32(len(text))
	for ; len(text) >= 4; text = text[4:] {
		k := uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
		h = bits.RotateLeft32(h^scramble(k), 13)*5 + 0xe6546b64
	}
	tail := uint32(0)
	for i := range len(text) {
		tail |= uint32(text[i]) << (8 * i)
	}
	h ^= scramble(tail) // nothing, if there is no tail
	h ^= length
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

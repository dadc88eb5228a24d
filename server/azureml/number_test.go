package azureml

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

var numbers = flag.Int("numbers", 300_000, "how many random numbers TestRandomNumbers prints and reads, of each kind")

// randomDoubles are kinds of doubles, each likely to find other mistakes.
var randomDoubles = map[string]func(*rand.Rand) float64{
	"bits":          func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64()) },
	"unit interval": func(r *rand.Rand) float64 { return r.Float64() },
	"normal":        func(r *rand.Rand) float64 { return r.NormFloat64() * 1000 },
	"any magnitude": func(r *rand.Rand) float64 {
		return math.Float64frombits(r.Uint64()&(1<<52-1) | uint64(950+r.IntN(150))<<52)
	},
	"short decimals":  func(r *rand.Rand) float64 { return float64(r.Int64N(1<<53)-1<<52) / math.Pow10(r.IntN(23)) },
	"few digits":      func(r *rand.Rand) float64 { return float64(r.IntN(100_000)) / math.Pow10(r.IntN(30)-5) },
	"next to decimal": func(r *rand.Rand) float64 { return neighbour(float64(r.Int64N(1e15))/math.Pow10(r.IntN(18)), r) },
	"next to power":   func(r *rand.Rand) float64 { return neighbour(math.Ldexp(1, r.IntN(200)-130), r) },
	"few bits":        func(r *rand.Rand) float64 { return math.Ldexp(float64(r.IntN(1<<12)), r.IntN(120)-90) },
	"halves": func(r *rand.Rand) float64 {
		return math.Ldexp(float64(1<<52+r.Int64N(1<<52)), -1-r.IntN(8)) // where exact ties are
	},
	"integers": func(r *rand.Rand) float64 {
		return math.Trunc(math.Float64frombits(r.Uint64()&(1<<52-1) | uint64(1023+r.IntN(70))<<52))
	},
}

func neighbour(f float64, r *rand.Rand) float64 {
	return math.Float64frombits(math.Float64bits(f) + uint64(r.IntN(5)) - 2)
}

// Numbers of every kind print as strconv and encoding/json print them, and read as strconv reads them, bit by bit.
func TestRandomNumbers(t *testing.T) {
	for name, draw := range randomDoubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 1))
			for range *numbers / len(randomDoubles) {
				f := draw(r)
				if f-f != 0 {
					continue
				}
				if err := checkDouble(f); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
	t.Run("texts", func(t *testing.T) {
		t.Parallel()
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		for range *numbers {
			if err := checkText(randomDecimal(r)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
	t.Run("int64", func(t *testing.T) {
		t.Parallel()
		for range *numbers {
			n := rand.Int64() >> rand.IntN(64)
			if rand.IntN(2) == 0 {
				n = -n
			}
			var b [maxNumber]byte
			if n > maxExact || n < -maxExact {
				continue
			}
			if got := string(b[:printInt(&b, n)]); got != strconv.FormatInt(n, 10) {
				t.Fatalf("%s is written for %d", got, n)
			}
		}
	})
}

// The scale makes the numbers that round to a double span at least one and less than ten units, as shortest needs it.
func TestScaleOf(t *testing.T) {
	ten := big.NewRat(10, 1)
	for e := -73; e <= -3; e++ {
		span := big.NewRat(1, 1)
		span.SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), uint(-e)))
		span.Mul(span, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scaleOf(e))), nil)))
		if span.Cmp(big.NewRat(1, 1)) < 0 || span.Cmp(ten) >= 0 {
			t.Errorf("2^%d spans %s units of 10^-%d", e, span.FloatString(3), scaleOf(e))
		}
	}
}

// What readDecimal takes and what it leaves to others; the end counts from the number's first byte.
func TestReadDecimal(t *testing.T) {
	for _, tc := range []struct {
		text       string
		w          uint64
		scale, end int
	}{
		{"0", 0, 0, 1}, {"7,", 7, 0, 1}, {"1234567]", 1234567, 0, 7}, {"12345678", 12345678, 0, 8}, {"123456789012", 123456789012, 0, 12},
		{"9007199254740993", 9007199254740993, 0, 16}, {"9999999999999999999", 9999999999999999999, 0, 19}, {"99999999999999999999", 0, 0, 0},
		{"0.5", 50000000, 8, 3}, {"999.0625", 99906250000, 8, 8}, {"0.12345678", 12345678, 8, 10}, {"0.123456789", 123456789, 9, 11},
		{"0.00001234567890123456", 1234567890123456, 20, 22}, {"0.1234567890123456789", 1234567890123456789, 19, 21}, {"0.12345678901234567890", 0, 0, 0},
		{"99999999999.5", 9999999999950000000, 8, 13}, {"100000000000.5", 0, 0, 0}, {"0.000000000000000000000000001", 1, 27, 29}, {"0.0000000000000000000000000001", 0, 0, 0},
		{"00", 0, 0, 0}, {"01", 0, 0, 0}, {"", 0, 0, 0}, {".5", 0, 0, 0}, {"1.", 0, 0, 0}, {"1.x", 0, 0, 0}, {"+1", 0, 0, 0}, {"x", 0, 0, 0}, {"1e5", 1, 0, 1}, {"1.5.5", 150000000, 8, 3},
		{"1/1", 1, 0, 1}, {"1:1", 1, 0, 1}, {"1\x801", 1, 0, 1}, {"1\xb01", 1, 0, 1},
	} {
		for minus, sign := range []string{"", "-"} {
			b := []byte("12" + sign + tc.text + strings.Repeat(" ", 30))
			w, scale, negative, end := readDecimal(b, 2)
			if end > 0 {
				end -= 2 + len(sign)
			}
			if w != tc.w || scale != tc.scale || end != tc.end || end > 0 && negative != uint64(minus) {
				t.Errorf("%s%s is read as %d/10^%d, minus %d, %d bytes", sign, tc.text, w, scale, negative, end)
			}
		}
		for room := range 24 {
			b := append(make([]byte, 0, 64), tc.text...)
			readDecimal(b[:min(room, len(b))], 0) // and does not look behind the end
		}
	}
}

// checkDouble prints f and reads it back.
func checkDouble(f float64) error {
	var b [30]byte // the longest: -0.000001234567890123456789
	got := string(appendDouble(b[:0], f))
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	if want := strconv.FormatFloat(f, format, -1, 64); got != want && format == 'f' {
		return fmt.Errorf("%s is written, where strconv writes %s", got, want)
	}
	if theirs, err := json.Marshal(f); format == 'e' && string(theirs) != got {
		return fmt.Errorf("%s is written, where encoding/json writes %s, %v", got, theirs, err)
	}
	return checkText(got)
}

// checkText reads the number that text begins with, where something may stand behind it.
func checkText(text string) error {
	b := []byte("x" + text + `,"                        `)
	w, scale, minus, end := readDecimal(b, 1)
	if end == 0 {
		return nil // left to strconv
	}
	number := string(b[1:end])
	if !json.Valid([]byte(number)) || b[end]-'0' <= 9 {
		return fmt.Errorf("of %q, %q is read", text, number)
	}
	if got, want := toDouble(w, scale, minus), float(number); math.Float64bits(got) != math.Float64bits(want) {
		return fmt.Errorf("%s reads as %v, where strconv reads %v", number, got, want)
	}
	return nil
}

func float(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// FuzzNumber holds printing and reading against strconv: the double that bits are, and the number that text begins with.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0", "-0", "0.1", "-12.5,", "9007199254740993", "0.30000000000000004", "123456789.123456789", "18446744073709551615", "1e5", "1.e", "01", "1.", "1\x801", "1\xb0", "0.00000000000000000000001"} {
		f.Add(text, math.Float64bits(float(text)))
	}
	for _, bits := range []uint64{1, 1<<52 - 1, 1 << 52, 0x7fefffffffffffff, 0x3eb0c6f7a0b5ed8d, 0x3eb0c6f7a0b5ed8c, 0x430c6bf526340000, 0x430c6bf52633ffff, 0x4316345785d8a000} {
		f.Add("", bits)
	}
	f.Fuzz(func(t *testing.T, text string, bits uint64) {
		if err := checkText(text); err != nil {
			t.Error(err)
		}
		f := math.Float64frombits(bits)
		if f-f != 0 {
			return
		}
		if err := checkDouble(f); err != nil {
			t.Error(err)
		}
	})
}

// randomDecimal draws a number as JSON has it, with up to 22 digits on either side of the point.
func randomDecimal(r *rand.Rand) string {
	var b []byte
	if r.IntN(2) == 0 {
		b = append(b, '-')
	}
	b = strconv.AppendUint(b, r.Uint64()>>r.IntN(64), 10)
	if n := r.IntN(20); n > 0 {
		b = append(b, '.')
		for range n {
			b = append(b, byte('0'+r.IntN(10)))
		}
	}
	return string(b)
}

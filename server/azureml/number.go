package azureml

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// Numbers are printed and read by arithmetic that is exact in 64 and 128 bits, which leaves nothing to approximate; what
// does not fit in goes to strconv. Eight digits at a time are turned into a word of bytes and back.

// maxNumber is the most bytes that the print functions below touch.
const maxNumber = 40

// maxPower5 is the largest power of 5 that 64 bits hold.
const maxPower5 = 27

// powersOf5 are those, and zeros that make the length a power of two.
var powersOf5 = func() (list [32]uint64) {
	list[0] = 1
	for i := range maxPower5 {
		list[i+1] = 5 * list[i]
	}
	return list
}()

const zeros = '0' * ones // eight digits 0 in ASCII

// digits8 returns the eight decimal digits of n < 10^8 as bytes 0 to 9, the first in the lowest byte.
func digits8(n uint64) uint64 {
	fours := n/1e4 | n%1e4<<32
	hundreds := fours * 10486 >> 20 & 0x7f_0000_007f
	twos := hundreds | (fours-100*hundreds)<<16
	tens := twos * 103 >> 10 & 0x000f_000f_000f_000f
	return tens | (twos-10*tens)<<8
}

// value8 is the opposite of digits8.
func value8(digits uint64) uint64 {
	twos := digits*10 + digits>>8
	const mask = 0xff_0000_00ff
	return (twos&mask*(1_000_000<<32+100) + twos>>16&mask*(10_000<<32+1)) >> 32
}

// leading counts the digits among what load returned that stand before anything else.
func leading(digits uint64) uint {
	return uint(bits.TrailingZeros64((digits|(digits+0x76*ones))&highs)) / 8
}

// load reads eight characters such that digits become bytes 0 to 9.
func load(b []byte) uint64 { return binary.LittleEndian.Uint64(b) ^ zeros }

// printInt writes n, |n| < 10^16, to p and returns how many bytes count.
func printInt(p *[maxNumber]byte, n int64) int {
	p[0] = '-'
	return printWhole(p, int(uint64(n)>>63), uint64(max(n, -n)))
}

// printWhole writes n < 10^16 to p[at:] and returns where it ends.
func printWhole(p *[maxNumber]byte, at int, n uint64) int {
	if n < 1e8 {
		return at + printHead(p, at, digits8(n))
	}
	at += printHead(p, at, digits8(n/1e8))
	put8(p, at, digits8(n%1e8))
	return at + 8
}

// put8 writes eight digits.
func put8(p *[maxNumber]byte, at int, digits uint64) {
	binary.LittleEndian.PutUint64(p[at&31:], digits|zeros)
}

// printHead writes digits without leading zeros and returns how many those are. It touches eight bytes.
func printHead(p *[maxNumber]byte, at int, digits uint64) int {
	skip := uint(bits.TrailingZeros64(digits|1<<56)) &^ 7
	binary.LittleEndian.PutUint64(p[at&31:], (digits|zeros)>>(skip&63))
	return int(8 - skip/8)
}

// printDouble writes the shortest decimal that reads back as f, a finite number, in the notation that JSON writers agree
// on: plain within [1e-6, 1e21), with an exponent outside. It returns how many bytes of p count.
func printDouble(p *[maxNumber]byte, f float64) int {
	abs := math.Abs(f)
	p[0] = '-'
	at := int(math.Float64bits(f) >> 63)
	// At most 15 digits: if n/10^8 is f then those are the shortest text for it, since decimals of up to 15 digits lie
	// further apart than doubles do, and the test is exact, since n and 10^8 are doubles and division rounds correctly.
	// Four digits on either side of the point are so common that they come first, for half the work.
	if abs < 1e4 {
		if n := int64(abs*1e4 + 0.5); float64(n)/1e4 == abs {
			digits := digits8(uint64(n))
			return printFraction(p, at+printHead(p, at, digits<<32), digits>>32)
		}
	}
	if abs < 1e7 {
		if n := int64(abs*1e8 + 0.5); float64(n)/1e8 == abs && n >= 100 {
			head, fraction := digits8(uint64(n)/1e8), digits8(uint64(n)%1e8)
			return printFraction(p, at+printHead(p, at, head), fraction)
		}
	} else if abs < 1e15 && math.Trunc(f) == f {
		return printInt(p, int64(f))
	}
	if abs >= 1e-6 && abs < 1e15 {
		if n, scale, ok := shortest(abs); ok {
			return printScaled(p, at, n, scale)
		}
	}
	return len(appendRare(p[:0], f))
}

// printFraction writes the point and digits without trailing zeros, if there are any, to p[at:] and returns where they end.
func printFraction(p *[maxNumber]byte, at int, digits uint64) int {
	if digits == 0 {
		return at
	}
	p[at&31] = '.'
	put8(p, at+1, digits)
	return at + 9 - bits.LeadingZeros64(digits)/8
}

// shortest returns the shortest decimal n/10^scale that rounds to f, and the one nearest to f among those, for f in
// [1e-6, 1e15). It declines what it would have to think about longer: powers of two, whose neighbours lie unevenly, and
// exact ties.
//
// With f = m*2^e, scale is such that the numbers that round to f, those up to 2^(e-1) away, span at least 1 and less than
// 10 units of 10^-scale. So one multiple of ten at most is among them. If there is one, every shorter decimal among them
// is a multiple of ten too, and thus this one. Otherwise the nearest integer is what is sought; it is less than half a unit
// away, and thus among them. All of it is computed in units of 2^-shift, without a rounding: m*5^scale needs 105 bits, and
// what is subtracted and compared 56.
func shortest(f float64) (n uint64, scale int, ok bool) {
	b := math.Float64bits(f)
	m := b&(1<<52-1) | 1<<52
	e := int(b>>52) - 1075
	scale = scaleOf(e)
	shift := uint(-(e + scale)) & 63
	hi, lo := bits.Mul64(m, powersOf5[scale])
	n = hi<<(64-shift) | lo>>shift
	rest := lo & (1<<shift - 1)
	tens := n / 10
	above := (n-10*tens)<<shift + rest // how far f lies above 10*tens
	half := powersOf5[scale]           // of the span, doubled as what it is compared with; never equal to it, as it is odd
	switch {
	case b&(1<<52-1) == 0 || 2*rest == 1<<shift:
		return 0, 0, false
	case 2*above < half:
		return 10 * tens, scale, true
	case 2*(10<<shift-above) < half:
		return 10*tens + 10, scale, true
	case 2*rest > 1<<shift:
		n++
	}
	return n, scale, true
}

// scaleOf returns -e*log10(2), rounded up.
func scaleOf(e int) int { return -(e * 1233 >> 12) }

// printScaled writes n/10^scale, which is no integer, without trailing zeros to p[at:] and returns where it ends. n has
// 16 or 17 digits, scale is 1 to 22.
func printScaled(p *[maxNumber]byte, at int, n uint64, scale int) int {
	if scale <= 16 {
		power := powersOf5[scale&31] << scale
		whole := n / power
		at = printWhole(p, at, whole)
		p[at&31] = '.'
		n = (n - whole*power) * (powersOf5[16-scale] << (16 - scale))
		at++
	} else {
		put8(p, at, 0)
		p[at+1] = '.'
		at += scale - 15 // over 0. and the zeros behind it
		p[at&31] = '0' + byte(n/1e16)
		n %= 1e16
		at++
	}
	high, low := digits8(n/1e8), digits8(n%1e8)
	put8(p, at, high)
	put8(p, at+8, low)
	if low == 0 {
		return at + 8 - bits.LeadingZeros64(high)/8
	}
	return at + 16 - bits.LeadingZeros64(low)/8
}

// powersOf10 are those that are doubles.
var powersOf10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// readDecimal reads a JSON number without an exponent that begins at b[i]: its value is w/10^scale, negative if minus is
// 1, and scale is 0 if and only if it has no fraction. end, where the number ends, is 0 where it declines: what is no
// number, has too many digits or stands too near to the end of b is left to others. What follows the number is the
// caller's to check; it is no digit.
func readDecimal(b []byte, i int) (w uint64, scale int, minus uint64, end int) {
	if len(b)-i < 24 { // more than a sign, eight digits, a point and eight digits need
		return 0, 0, 0, 0
	}
	if b[i] == '-' {
		minus = 1
	}
	i += int(minus)
	digits := load(b[i:])
	n := leading(digits)
	if n == 0 || n > 1 && b[i] == '0' {
		return 0, 0, 0, 0
	}
	w = value8(digits << (64 - 8*n))
	i += int(n)
	if n == 8 {
		if w, i = moreDigits(b, i, w); w == tooMany {
			return 0, 0, 0, 0
		}
	}
	if i == len(b) || b[i] != '.' {
		return w, 0, minus, i
	}
	i++
	if w >= 1e11 || len(b)-i < 8 {
		return 0, 0, 0, 0 // the next eight digits might not fit in, or are not there
	}
	digits = load(b[i:])
	n = leading(digits)
	w, scale = w*1e8+value8(digits&(1<<(8*n)-1)), 8
	i += int(n)
	if n == 8 {
		from := i
		if w, i = moreDigits(b, i, w); w == tooMany {
			return 0, 0, 0, 0
		}
		scale += i - from
	}
	if n == 0 || scale > maxPower5 {
		return 0, 0, 0, 0
	}
	return w, scale, minus, i
}

// tooMany stands for digits that 64 bits do not hold, or that stand too near to the end.
const tooMany = math.MaxUint64

// moreDigits reads on from b[i], behind digits that make up w < 10^16: eight at once, then one by one, since hardly more
// than two follow.
func moreDigits(b []byte, i int, w uint64) (uint64, int) {
	if len(b)-i < 8 || w >= 1e11 {
		return tooMany, i
	}
	digits := load(b[i:])
	n := leading(digits)
	w = w*(powersOf5[n]<<n) + value8(digits<<(64-8*n))
	i += int(n)
	if n < 8 {
		return w, i
	}
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if w >= 1e18 {
			return tooMany, i
		}
		w = w*10 + uint64(b[i]-'0')
	}
	return w, i
}

// toDouble returns the double nearest to w/10^scale, of two that are equally near the even one, for scale up to 27.
func toDouble(w uint64, scale int, minus uint64) float64 {
	var f float64
	if w < 1<<53 && scale < len(powersOf10) {
		f = float64(int64(w)) / powersOf10[scale] // both are exact, and division rounds correctly
	} else {
		f = divide(w, scale)
	}
	return math.Float64frombits(math.Float64bits(f) | minus<<63)
}

// divide returns the double nearest to w/10^scale. It divides by 5^scale in integers: the quotient has 61 bits at least,
// the last of which says whether something is left over, so that rounding it to the 53 of a double decides as the
// endless quotient would. The exponent is far from the ends of the range.
func divide(w uint64, scale int) float64 {
	by := powersOf5[scale]
	shiftW, shiftBy := bits.LeadingZeros64(w), bits.LeadingZeros64(by)
	w <<= shiftW
	q, rest := bits.Div64(w>>1, w<<63, by<<shiftBy) // w/by in units of 2^-63, within 2^62 and 2^64
	q, left := q>>1, q&1
	if rest != 0 {
		left = 1
	}
	exponent := shiftBy - shiftW - scale - 62
	return float64(int64(q|left)) * math.Float64frombits(uint64(1023+exponent)<<52)
}

// appendRare appends a double that the exact ways decline.
func appendRare(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-3] == '-' && dst[n-2] == '0' {
		// strconv writes at least two digits of an exponent.
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

package blob

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// span is a range of bytes: n of them from offset from.
type span struct {
	from, n int64
	partial bool // a range was asked for
}

var rangePattern = regexp.MustCompile(`^bytes=([0-9]+)-([0-9]*)$`)

// span reads x-ms-range, or else Range, for a blob of size bytes. A header of
// another form is passed over, as RFC 9110 wants and Azure does: it has neither
// suffix ranges nor lists.
func (c *call) span(size int64) (span, error) {
	header := c.Header.Get("X-Ms-Range")
	if header == "" {
		header = c.Header.Get("Range")
	}
	whole := span{n: size}
	m := rangePattern.FindStringSubmatch(header)
	if m == nil {
		return whole, nil
	}
	from, to := offset(m[1]), int64(math.MaxInt64)
	if m[2] != "" {
		to = offset(m[2])
	}
	if to < from {
		return whole, nil
	}
	if from >= size {
		p := *invalidRange
		p.header = [2]string{"Content-Range", fmt.Sprintf("bytes */%d", size)}
		return span{}, &p
	}
	return span{from: from, n: min(to, size-1) - from + 1, partial: true}, nil
}

// offset reads digits; what does not fit lies behind every blob.
func offset(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}

// mostRangeSum is the longest range that Azure calculates a checksum of.
const mostRangeSum = 4 << 20

// rangeSums reads whether checksums of the range are wanted.
func (c *call) rangeSums(s span) (sum, crc bool, err error) {
	for _, asked := range []struct {
		header string
		to     *bool
	}{{"X-Ms-Range-Get-Content-Md5", &sum}, {"X-Ms-Range-Get-Content-Crc64", &crc}} {
		v := c.Header.Get(asked.header)
		*asked.to, err = strconv.ParseBool(v)
		switch {
		case v == "":
			*asked.to = false
		case err != nil, *asked.to && !s.partial, *asked.to && s.n > mostRangeSum:
			return false, false, invalidHeader(asked.header, v)
		}
	}
	if sum && crc {
		return false, false, bothChecksums
	}
	return sum, crc, nil
}

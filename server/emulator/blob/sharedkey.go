package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorize decides who may do what, before anything is looked up: without
// authorization nobody learns what exists. An Authorization header comes before
// a signature in the URL, as in Azure.
func (e *Endpoint) authorize(c *call) error {
	header := c.Header.Get("Authorization")
	switch {
	case header != "":
		return e.authorizeKey(c, header)
	case c.query["sig"] != nil:
		return e.authorizeSAS(c)
	case c.Header.Get("X-Ms-Version") >= "2019-12-12":
		return noAuthentication
	}
	// Older versions, and clients that name none, are told that nothing is
	// there, since nothing is public.
	return resourceNotFound
}

// mac signs a text with the account's key, in base64.
func (e *Endpoint) mac(text string) string {
	h := hmac.New(sha256.New, e.key)
	h.Write([]byte(text)) // a hash does not fail
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// signed reports whether signature is that of text, in constant time.
func (e *Endpoint) signed(text, signature string) bool {
	return hmac.Equal([]byte(e.mac(text)), []byte(signature))
}

// skew is how far a request's date may be off.
const skew = 15 * time.Minute

// authorizeKey checks Authorization: SharedKey account:signature, or
// SharedKeyLite.
func (e *Endpoint) authorizeKey(c *call, header string) error {
	scheme, rest, _ := strings.Cut(header, " ")
	lite := scheme == "SharedKeyLite"
	if scheme != "SharedKey" && !lite {
		return unknownScheme
	}
	account, signature, ok := strings.Cut(strings.TrimSpace(rest), ":")
	if !ok || account == "" || signature == "" {
		return invalidAuthentication
	}
	if account != e.account {
		return authenticationFailed.with("AuthenticationErrorDetail", "The account in the Authorization header is another one.")
	}
	date := c.Header.Get("X-Ms-Date")
	if date == "" {
		date = c.Header.Get("Date")
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return authenticationFailed.with("AuthenticationErrorDetail", "Neither x-ms-date nor Date is a date.")
	}
	// Before the signature, which is the dearer one to check.
	if off := time.Since(at); off > skew || off < -skew {
		return authenticationFailed.with("AuthenticationErrorDetail", "Request date header too old: '"+date+"'")
	}
	// The SDKs sort headers as Windows does by default, everyone else as bytes.
	for _, order := range []func(a, b string) int{compareWords, strings.Compare} {
		text := c.stringToSign(order)
		if lite {
			text = c.liteStringToSign(order)
		}
		if e.signed(text, signature) {
			return nil
		}
	}
	return authenticationFailed.with("AuthenticationErrorDetail", "The MAC signature found in the HTTP request is not the same as any computed signature.")
}

// stringToSign is Shared Key's. The empty line in it is Date's, which does not
// count when x-ms-date is there.
func (c *call) stringToSign(order func(a, b string) int) string {
	length := ""
	if c.ContentLength > 0 {
		length = strconv.FormatInt(c.ContentLength, 10)
	} else if c.Header.Get("Content-Length") == "0" && c.version() < "2015-02-21" {
		length = "0"
	}
	lines := []string{c.Method, c.Header.Get("Content-Encoding"), c.Header.Get("Content-Language"), length}
	for _, name := range []string{"Content-Md5", "Content-Type"} {
		lines = append(lines, c.Header.Get(name))
	}
	lines = append(lines, c.dateLine())
	for _, name := range []string{"If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		lines = append(lines, c.Header.Get(name))
	}
	var b strings.Builder
	b.WriteString(strings.Join(lines, "\n") + "\n")
	c.writeHeaders(&b, order)
	// The account stands twice in path-style URLs: here, and in the path.
	b.WriteString("/" + c.endpoint.account + c.URL.EscapedPath())
	names := make([]string, 0, len(c.query))
	for name := range c.query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values := slices.Sorted(slices.Values(c.query[name]))
		b.WriteString("\n" + name + ":" + strings.Join(values, ","))
	}
	return b.String()
}

// liteStringToSign is Shared Key Lite's.
func (c *call) liteStringToSign(order func(a, b string) int) string {
	var b strings.Builder
	for _, line := range []string{c.Method, c.Header.Get("Content-Md5"), c.Header.Get("Content-Type"), c.dateLine()} {
		b.WriteString(line + "\n")
	}
	c.writeHeaders(&b, order)
	b.WriteString("/" + c.endpoint.account + c.URL.EscapedPath())
	if comp := c.query["comp"]; comp != nil {
		b.WriteString("?comp=" + comp[0])
	}
	return b.String()
}

func (c *call) dateLine() string {
	if c.Header.Get("X-Ms-Date") != "" {
		return ""
	}
	return c.Header.Get("Date")
}

// writeHeaders writes the x-ms-* headers, a line each.
func (c *call) writeHeaders(b *strings.Builder, order func(a, b string) int) {
	var names []string
	for name := range c.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			names = append(names, lower)
		}
	}
	slices.SortFunc(names, order)
	for _, name := range names {
		b.WriteString(name + ":" + strings.Join(c.Header.Values(name), ",") + "\n")
	}
}

// compareWords is the order of Windows' word sort for names of headers: hyphens
// count only when all else is equal, where the earlier hyphen comes later, and
// other marks come before digits and these before letters.
func compareWords(a, b string) int {
	if order := strings.Compare(unhyphened(a), unhyphened(b)); order != 0 {
		return order
	}
	return strings.Compare(b, a)
}

// unhyphened drops hyphens and moves marks before the digits.
func unhyphened(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == '\'':
			return -1
		case r == '_' || r == '^' || r == '`':
			return r - 0x50 // below '0', in their own order
		}
		return r
	}, s)
}

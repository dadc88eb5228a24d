package api

import (
	"bytes"
	"encoding/json"

	"github.com/amlgate/amlgate/server/redact"
)

// withoutSecrets returns an upstream's JSON without the secrets in it, or b itself where there are none. Texts are looked
// at as they are written and as they read: many JSON writers put \u0026 for the '&' before a signature and \u002B for a
// key's '+', where a secret's edges are no longer seen.
func withoutSecrets(b []byte) []byte {
	written := redact.Bytes(b)
	if bytes.IndexByte(written, '\\') < 0 {
		return written
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(written, []byte("\ufeff"))))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return written
	}
	clean, found := redacted(v)
	if !found {
		return written
	}
	out, _ := json.Marshal(clean) // what was just read can be written
	return out
}

// redacted returns a value of JSON with every text in it redacted, names too, and whether that changed one.
func redacted(v any) (clean any, found bool) {
	switch v := v.(type) {
	case string:
		s := redact.String(v)
		return s, s != v
	case []any:
		for i, item := range v {
			item, changed := redacted(item)
			v[i], found = item, found || changed
		}
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, item := range v {
			cleanName := redact.String(name)
			item, changed := redacted(item)
			m[cleanName], found = item, found || changed || cleanName != name
		}
		return m, found
	}
	return v, found
}

package blob

import (
	"net/http"
	"strings"
	"time"
)

// conditions are the conditional headers of a call; what is empty or zero was
// not sent.
type conditions struct {
	match, noneMatch               []string
	modifiedSince, unmodifiedSince time.Time
}

func (c *call) conditions() (conditions, error) {
	var cond conditions
	var err error
	cond.match = tags(c.Header.Get("If-Match"))
	cond.noneMatch = tags(c.Header.Get("If-None-Match"))
	if cond.modifiedSince, err = c.timeOf("If-Modified-Since"); err != nil {
		return cond, err
	}
	cond.unmodifiedSince, err = c.timeOf("If-Unmodified-Since")
	return cond, err
}

func (c *call) timeOf(name string) (time.Time, error) {
	v := c.Header.Get(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return t, invalidHeader(name, v)
	}
	return t, nil
}

// tags splits a list of ETags. Some clients send them without quotes.
func tags(header string) []string {
	if strings.TrimSpace(header) == "" {
		return nil
	}
	list := strings.Split(header, ",")
	for i, t := range list {
		t = strings.TrimSpace(t)
		if t != "*" && !strings.HasPrefix(t, `"`) && !strings.HasPrefix(t, "W/") {
			t = `"` + t + `"`
		}
		list[i] = t
	}
	return list
}

// names reports whether a list of ETags names the version.
func names(list []string, etag string) bool {
	for _, t := range list {
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

// checkRead is Azure's rule for reads: If-Match and If-Unmodified-Since must
// hold, and of If-None-Match and If-Modified-Since one. s is nil where there is
// nothing to read.
func (c *call) checkRead(s *stamp) error {
	cond, err := c.conditions()
	switch {
	case err != nil:
		return err
	case len(cond.noneMatch) > 0 && cond.noneMatch[0] == "*":
		return unsatisfiable
	case s == nil && cond.match != nil:
		return conditionNotMet
	case s == nil:
		return nil
	case cond.match != nil && !names(cond.match, s.etag),
		!cond.unmodifiedSince.IsZero() && s.modified.After(cond.unmodifiedSince):
		return conditionNotMet
	}
	asked, held := false, false
	if cond.noneMatch != nil {
		asked, held = true, !names(cond.noneMatch, s.etag)
	}
	if !cond.modifiedSince.IsZero() {
		asked, held = true, held || s.modified.After(cond.modifiedSince)
	}
	if asked && !held {
		return notModified
	}
	return nil
}

// checkWrite is Azure's rule for writes: one condition, or two of one kind of
// which the ETag's decides. s is nil where nothing exists yet; exists is the
// refusal of If-None-Match: *.
func (c *call) checkWrite(s *stamp, exists *problem) error {
	cond, err := c.conditions()
	if err != nil {
		return err
	}
	positive := count(cond.match != nil, !cond.unmodifiedSince.IsZero())
	negative := count(cond.noneMatch != nil, !cond.modifiedSince.IsZero())
	switch {
	case len(cond.match) > 1, len(cond.noneMatch) > 1, positive > 0 && negative > 0:
		return manyConditions
	case s == nil && cond.match != nil:
		return conditionNotMet
	case s == nil:
		return nil
	case cond.noneMatch != nil && cond.noneMatch[0] == "*":
		return exists
	case cond.noneMatch != nil:
		return unless(names(cond.noneMatch, s.etag))
	case cond.match != nil:
		return unless(!names(cond.match, s.etag))
	case !cond.modifiedSince.IsZero():
		return unless(!s.modified.After(cond.modifiedSince))
	case !cond.unmodifiedSince.IsZero():
		return unless(s.modified.After(cond.unmodifiedSince))
	}
	return nil
}

func unless(failed bool) error {
	if failed {
		return conditionNotMet
	}
	return nil
}

func count(these ...bool) (n int) {
	for _, t := range these {
		if t {
			n++
		}
	}
	return n
}

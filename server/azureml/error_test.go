package azureml

import (
	"math"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, "2147483647": math.MaxInt32 * time.Second,
		"2147483648": 0, "99999999999999999999": 0, "-1": 0, "+1": 0, "1.5": 0, " 1": 0, "1s": 0, "0x10": 0, "soon": 0,
		"Mon, 23 Nov 2026 05:01:30 GMT":  90 * time.Second,
		"Monday, 23-Nov-26 05:00:02 GMT": 2 * time.Second,
		"Mon Nov 23 05:00:03 2026":       3 * time.Second,
		"Mon, 23 Nov 2026 05:00:00 GMT":  0, // now
		"Mon, 23 Nov 2026 04:59:59 GMT":  0, // behind us
		"Mon, 23 Nov 2026 05:01:30 CET":  0, // HTTP dates are GMT
		"2026-11-23T05:01:30Z":           0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", v, got, want)
		}
	}
}

// Options left out, or senseless, have the defaults their comments promise.
func TestDefaults(t *testing.T) {
	for _, o := range []Options{{}, {Timeout: -1, MaxAnswer: -1}} {
		o.BaseURL = "http://host"
		c, err := NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		if c.timeout != 110*time.Second || c.maxAnswer != 64<<20 {
			t.Errorf("timeout %s, largest answer %d bytes", c.timeout, c.maxAnswer)
		}
	}
}

package server_test

import (
	"os"
	"os/exec"
	"testing"
)

// needs skips a test where a program that it runs is not installed. CI sets AMLGATE_REQUIRE=all, which makes that a
// failure, so that no test is left out there unnoticed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			lacks(t, "%s is not installed", name)
		}
	}
}

// lacks ends a test for what the machine does not have: skipped, or failed under AMLGATE_REQUIRE=all.
func lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	switch required := os.Getenv("AMLGATE_REQUIRE"); required {
	case "":
		t.Skipf(format, args...)
	case "all":
		t.Fatalf("AMLGATE_REQUIRE=all: "+format, args...)
	default:
		t.Fatalf("AMLGATE_REQUIRE=%q is not known; it is \"all\" or unset", required)
	}
}

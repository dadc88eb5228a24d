package jobs

import (
	"flag"
	"log/slog"
	"testing"

	"github.com/nats-io/nats-server/v2/server/ats"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The model test is the same each time, unless it is asked for another seed, and leaves no files behind.
	_ = flag.Set("rapid.seed", "5")
	_ = flag.Set("rapid.checks", "40")
	_ = flag.Set("rapid.nofailfile", "true")
	flag.Parse()
	// The embedded store has one clock for all its streams; kept running here, it stays out of the bubbles of synctest.
	ats.Register()
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/pse.periodic"))
}

var silent = slog.New(slog.DiscardHandler)

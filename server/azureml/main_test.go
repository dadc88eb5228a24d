package azureml

import (
	"testing"

	"go.uber.org/goleak"
)

// No goroutine outlives its test: a client that is closed has ended its connections, and a call that is over its own.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

package jobs

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/amlgate/amlgate/server/store"
)

// A replica that has lost its store ends its watches, so that they are resumed where there is news, and takes no new ones.
func TestWatchEndsWithoutAStore(t *testing.T) {
	nats, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	stop := func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	}
	defer stop()
	if !nats.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS is not ready")
	}
	st, err := store.Open(t.Context(), store.Config{NATS: nats.ClientURL(), NATSReplicas: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	up := newUpstream()
	h := hubOn(t, st, Config{Heartbeat: time.Hour}, up.ask)
	defer h.Drain()
	w := open(t, h, "a", "")
	wantJob(t, nextNot(t, w), NotStarted, false)
	stop()
	if e := nextNot(t, w); e.End != EndDraining || e.Message != "this server has lost its journal; come back with the cursor" {
		t.Errorf("told %+v", e)
	}
	if _, err := h.Watch(t.Context(), theJob, keyed("a"), ""); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a new watch: %v", err)
	}
	w.Close()
}

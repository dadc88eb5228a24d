// Package jobs keeps what amlgate knows of batch jobs and tells watchers when they move. AzureML is the truth about a
// job's state; the journal here adds what AzureML lacks: a list, owners, request ids, the certainty that a job is started
// at most once, and a numbered history to resume a watch from. The package knows no HTTP and no gRPC, and talks to the
// upstream only through the functions that it is given. It is not where bytes are kept: that is package store.
//
// # The journal
//
// A record is written when something changed, by compare-and-set, and never otherwise (record.go, write.go). Every
// replica hears all records from the store and keeps them in an index (index.go), which lists are read from and watchers
// told from. The store's revision of a change is what cursors are made of, so that they hold on any replica and after a
// restart. However many writes come at once, a bounded number is under way, and the others wait for their turn (turns.go).
// A job that was not submitted here is taken in when somebody shows access to it, up to a bound.
//
// # Starting at most once
//
// Before a start goes upstream the record says that it is about to (start.go). Where a start's fate is not known, because
// a process died or an answer was lost, the upstream is asked before anything else happens. Request ids (request.go) are
// claimed first, and answered from their record once it is known what the first call was answered.
//
// # One feed, many watchers
//
// A job that is watched has a feed: its last changes and who watches. A change wakes every watcher by closing a channel;
// each then reads the feed from its own place, at its own pace. A watcher that falls behind the changes kept is given the
// latest state and told that some were skipped. All jobs are asked about by one scheduler (poll.go), a bounded number at
// a time: N watchers cost one poll an interval, and a watcher costs no goroutine here.
//
// # Who may watch
//
// In passthrough mode AzureML's own word is the only one: whoever reads a job's status there with their key may watch
// it. That proof is asked for once, before anything is shown, and again every ten minutes; polls made with a key renew
// the proof of that key. A key that no longer opens the job ends its own watches; the poll goes on with another's. In
// managed mode the front has checked the caller, the credential is the server's, and a queue that all replicas share says
// which of them asks about which job (managed.go).
package jobs

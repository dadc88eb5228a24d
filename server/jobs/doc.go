// Package jobs keeps what amlgate knows of batch jobs and tells watchers when they move. AzureML is the truth about a
// job's state; the journal here adds what AzureML lacks: a list, owners, and a numbered history to resume a watch from.
// The package knows no HTTP and no gRPC, and talks to the upstream only through the poll function that it is given.
//
// # One feed, many watchers
//
// A job that is watched has a feed: the last observed changes, numbered, and one goroutine that polls the upstream for
// as long as there are watchers. A change wakes every watcher by closing a channel; each then reads the feed from its
// own place, at its own pace. A watcher that falls behind the changes kept is given the latest state and told that some
// were skipped. So N watchers cost one poll an interval, and a slow one costs a number.
//
// # Who may watch
//
// In passthrough mode AzureML's own word is the only one: whoever reads a job's status there with their key may watch
// it. That proof is asked for once, before anything is shown, and again every ten minutes; polls made with a key renew
// the proof of that key. A key that no longer opens the job ends its own watches; the poll goes on with another's.
//
// State lives in memory: after a restart the list is empty, and a cursor of before is answered with the current state.
package jobs

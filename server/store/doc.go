// Package store keeps what must survive a restart or be shared by replicas, in NATS JetStream: a server inside this
// process, or an external cluster. It knows buckets of bytes, a queue and short notices; what the bytes mean is its
// callers' business, and it is no cache: reads come from JetStream, by way of the stream's leader.
//
// # One code path
//
// Open starts the embedded server, with its files under Config.Data or in memory without it, or connects to
// Config.NATS. From there on both are the same connection. layout.go declares every bucket and stream.
//
// # What JetStream leaves to us
//
//	folder.go    one process at a time on a folder, a format number, a folder that cannot be written to
//	mark.go      what was acknowledged, noted outside the streams: a stream that is shorter has lost something
//	watchdog.go  refuse new work before the disk or a bucket is full
//	logger.go    a write that failed for good ends the process: JetStream goes on refusing even after space is freed
//	bucket.go    a deadline on every write; a write without an answer is unknown, not failed, and repeated as the same
//	             compare-and-set until its fate is known; a refusal counts once the record in the way was seen
//	presence.go  whether the store can be reached at all
//	follow.go    a consumer is on one server, and made anew when that is gone
//
// After the loss of a server that leads a stream the others choose another within four to nine seconds, NATS' own constants.
// A server that was cut off may for a moment after its return still take itself for the leader, and answer reads and refuse
// writes from what it had; nothing is concluded from one such answer.
//
// An external cluster syncs its files as its own configuration says; no client can see that or ask for it.
package store

// Package load sends scoring calls to one service, over REST or gRPC, and measures what comes back: how many, how long
// they took, which failed and why, and what the service's processes spent on them. It is the load behind "amlgate bench"
// and cmd/benchkit. It starts no process, repeats no call and compares nothing.
//
// # What is measured
//
// A closed loop (Plan.Rate 0) keeps Plan.Concurrency calls under way: each begins when the one before it has ended, so
// latency is counted from there. An open loop (Plan.Rate above 0) has calls due at fixed moments, and latency is counted
// from the moment a call was due, whenever it was sent: a service that stalls makes the calls behind it late, and that
// shows. Calls that were due and could not be sent before the time was up are counted with the latency they had by then.
// One thing is left out: where a worker was waiting already and its timer woke it up to 2 ms late, which Go's timers are
// on an idle machine, latency is counted from there.
//
// Calls that are under way when the time is up are waited for and count, so that the CPU time of the window belongs to the
// calls of the report; the rate is that of the calls that ended in time.
//
// An answer counts as good when it is whole and is what was asked for. The first one is checked in full, later ones are
// compared with it to the byte and checked in full where they differ, so that checking costs next to nothing.
package load

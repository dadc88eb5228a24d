// Package server is amlgate's service: configuration, the two listeners, what every call passes, and the REST surface.
// It is not where a call is answered (package api), not what talks to AzureML (package azureml), and it keeps nothing.
//
// # The way of a call
//
//	REST    http.Server -> surface (front door) -> generated mux -> chained -+
//	                                                                         +-> chain -> api.Scoring -> azureml.Client -> AzureML
//	gRPC    grpc.Server -> accessLog (stats) -> sendHead --------------------+
//
// Job calls go the same way to api.Jobs, which tells package jobs what it learned. A watch is different only at its ends:
// over REST the stream is restStream (watch.go), which writes server-sent events or lines; api.Jobs.WatchJob pulls events
// from a jobs.Watch, and jobs.Hub asks AzureML once for all watches of a job. What jobs knows is kept by package store,
// in JetStream: inside this process, in memory or in a folder, or in a cluster that replicas share.
//
// In managed mode (managed.go) the gate, a link of the chain, checks the caller's key and takes it off; azureml.Client puts
// the server's own in its place.
//
// The front door (door.go, rest.go, body.go) decides by a table of its own which paths, verbs and query parameters exist,
// reads the body whole and hands on a request in canonical form. The generated mux then does what it was generated for:
// it fills the contract's messages and finds the method. It calls chained, which runs the same interceptors that native
// gRPC runs (chain.go), so no policy can hold on one surface only.
//
// Bytes are passed, not parsed: a REST body becomes ExecuteRequest.json and goes upstream as it came, and so does the
// answer on its way back. Only the tables lane writes and reads JSON, in package azureml, straight between its bytes and
// the columns' vectors.
//
// An api.Call in the context carries what is no message: ids, headers for the upstream, headers from the upstream, and
// what the access log wants to know. Errors are api.Failures; api/status.go has the tables that say how each looks over
// gRPC and over REST.
//
// # Rooms
//
//	api        RPC handlers; the only place that names gRPC codes
//	azureml    how AzureML is called, its JSON; knows no gRPC and no Protobuf
//	jobs       the job journal, one poll a watched job, many watchers; knows no HTTP and no gRPC
//	store      what must survive or be shared: buckets, a queue and notices; knows bytes only
//	emulator   an AzureML to run against, with a blob endpoint (emulator/blob); knows nothing of amlgate
//	redact     takes secrets out of texts
//
// box.go puts emulator and blob endpoint on listeners of their own, for a service without an upstream and for the command
// "amlgate emulator".
//
// Imports only fall: cmd/amlgate -> server -> api -> jobs -> store, azureml -> redact. A test holds them to it.
//
// # Where this leaves the first design
//
//   - Headers do not travel through gRPC metadata on the REST surface but in the Call: the mux's matchers let nothing
//     through in either direction, so there is no name that could be forged.
//   - The front door reads bodies itself. The generated code turns any error of reading into one text of InvalidArgument,
//     which can tell neither 413 nor a torn body.
//   - The access log is a stats.Handler over gRPC, because calls of unknown methods and messages too large end before
//     any interceptor.
//   - Jobs only move forward: an answer that says less than one before (two reads that overtook each other, or an upstream
//     that wavers) is not shown to watchers.
//   - A cursor of another epoch (a bucket made anew, or one that lost records) is answered with the current state and
//     skipped, not refused.
//   - Request ids expire with their bucket, a day after their last write, not by a TTL of their own: that needs no clean-up
//     and no second way to write.
//   - A start is announced in the job's record before it is sent, and settled there after: two writes. Where the fate of
//     one is unknown the upstream is asked; a start that another replica may be sending is waited for, 15 s at most.
//   - Without ColumnTypes (today's endpoints send none) the tables lane types columns by the JSON values themselves; see
//     azureml.ParseAnswer.
package server

//go:generate go -C .. tool buf generate
//go:generate go -C .. run ./cmd/openapi

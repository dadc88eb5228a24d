// Package server is amlgate's service: configuration, the two listeners, what every call passes, and the REST surface.
// It is not where a call is answered (package api), not what talks to AzureML (package azureml), and it keeps nothing.
//
// # The way of a call
//
//	REST    http.Server -> surface (front door) -+- short route ---------------+
//	                                             +- generated mux -> chained --+-> chain -> api.Scoring -> azureml.Client -> AzureML
//	gRPC    grpc.Server -> accessLog (stats) -> codec -> sendHead -------------+
//
// Job calls go the same way to api.Jobs, which tells package jobs what it learned. A watch is different only at its ends:
// over REST the stream is restStream (watch.go), which writes server-sent events or lines; api.Jobs.WatchJob pulls events
// from a jobs.Watch, and jobs.Hub asks AzureML once for all watches of a job. What jobs knows is kept by package store,
// in JetStream: inside this process, in memory or in a folder, or in a cluster that replicas share.
//
// In managed mode (managed.go) the gate, a link of the chain, checks the caller's key and takes it off; azureml.Client puts
// the server's own in its place. Both keys lie in files, which are read again when they change (keyfile.go).
//
// The front door (door.go, rest.go, body.go) decides by a table of its own which paths, verbs and query parameters exist,
// reads the body whole and hands on a request in canonical form. The generated mux then does what it was generated for:
// it fills the contract's messages and finds the method. It calls chained, whose methods stand behind the same interceptors
// that native gRPC runs (chain.go), so no policy can hold on one surface only. Scoring calls that are written as the guides have it
// pass the mux by (short.go) and join at chained; every story is told over both routes.
//
// Bytes are passed, not parsed: a REST body becomes ExecuteRequest.json and goes upstream as it came, and so does the
// answer on its way back. Only the tables lane writes and reads JSON, in package azureml, straight between its bytes and
// the columns' vectors.
//
// # Where bytes lie
//
// Bodies lie in buffers that package memory lends, and whose sum --max-in-flight bounds. A buffer has an owner at every
// moment: the listener, then the handler that takes it (api.Call), then azureml.Client, whose transport may still read it
// when the call has returned. An answer's goes the same way back: over REST the listener releases it when it is written,
// over gRPC it becomes grpc-go's (codec.go), which gives it back when it was written, or never, if the caller is gone: then
// the end of the call or of the connection ends the loan. A message of the json lane is therefore good only during its
// call, and no interceptor may keep one. An answer of tables is written before it is handed to grpc-go, over the JSON that
// it was read from, so that it too waits for its reader in one counted buffer. New calls are let into three quarters of the
// room; the rest is for answers of calls that have run already. What is in flight has the garbage collector run more often, so
// that little garbage gathers on top of it (memory.Pool.Pace); the command asks for that, unless GOGC is set.
//
// An upstream request is written in one system call, head and body together, from where the body lies (azureml/conn.go);
// a large one that came over gRPC even from the frames it came in.
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
//	memory     lends the buffers of bodies, and bounds them
//	store      what must survive or be shared: buckets, a queue and notices; knows bytes only
//	emulator   an AzureML to run against, with a blob endpoint (emulator/blob); knows nothing of amlgate
//	redact     takes secrets out of texts
//	logline    writes log lines, secrets taken out
//
// box.go puts emulator and blob endpoint on listeners of their own, for a service without an upstream and for the command
// "amlgate emulator".
//
// Imports only fall: cmd/amlgate -> server -> api -> jobs -> store, azureml -> logline, memory, redact. A test holds them to it.
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
//   - A replica that has lost its store ends its watches as one that stops does: what happens to their jobs would not be
//     heard there. Before, they stayed, with heartbeats that said so.
//   - Bodies and answers are not streamed through: each is read whole before anything is done with it. That is what lets a
//     torn answer be an error instead of a short one, and it takes fewer and larger system calls than passing pieces on.
//   - Without ColumnTypes (today's endpoints send none) the tables lane types columns by the JSON values themselves; see
//     azureml.ParseAnswer.
package server

//go:generate go -C .. tool buf generate
//go:generate go -C .. run ./cmd/openapi

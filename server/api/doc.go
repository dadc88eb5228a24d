// Package api holds the RPC handlers, and nothing else: a handler checks a request, makes one call of package azureml
// and puts the answer into the contract's words. What every call has in common (logging, credentials, limits) happens
// before it gets here; what is said upstream is package azureml's.
//
// Both surfaces end here, native gRPC and REST, so a handler does not know which one it serves. What the two need to tell
// each other beyond the messages travels in a Call. Errors are Failures, made in status.go, the one file that names
// gRPC codes and REST statuses.
package api

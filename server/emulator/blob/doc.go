// Package blob is an Azure Blob Storage endpoint to run against: what the
// emulator's batch jobs read and write, and what their callers upload to. The
// official SDKs work with it as they do with Azurite, by path-style URLs
// (http://127.0.0.1:10000/devstoreaccount1/container/blob), and so does a plain
// GET of a URL with a shared access signature.
//
// It is not a store: everything is in memory, bounded by Config.MaxBytes, and
// gone when the process ends. It knows block blobs in one account, nothing
// else: snapshots, versions, leases, copies, tags, tiers, append and page blobs,
// stored access policies, public containers, $root, user delegation and batches
// are refused with 501 NotImplemented or the error that Azure has for it, never
// half done. Metadata names come back in lower case, since net/http does not
// tell how they were written.
//
// An Endpoint must be the server's handler itself: http.ServeMux redirects
// paths with "//" or "..", which are names of blobs here.
//
// A request goes
//
//	ServeHTTP -> respond -> parseCall (account, container, blob, operation)
//	          -> authorize (Shared Key, account SAS, service SAS)
//	          -> the operation's handler, on the store
//
// and every refusal on the way is a problem, written as Azure's XML error with
// its code in x-ms-error-code. A body is read outside the store's lock and kept
// only when it was whole and its checksums agree, so a torn upload leaves
// nothing.
//
// # Sources
//
// Microsoft's "Azure Storage REST API Reference" for operations, headers, codes
// and the strings to sign; the official SDKs for what they send and need; and
// Azurite, run side by side by the tests. Where Azurite and the reference
// differ, the reference was followed; the test's table of differences says
// where.
package blob

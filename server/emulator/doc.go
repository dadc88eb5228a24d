// Package emulator is an AzureML Studio (classic) to run against, now that the
// real one is switched off: its request/response and its batch execution
// service with the same paths, keys, bodies, answers and errors, two real
// models behind them, and faults on request. It is what `amlgate emulator`
// serves and what `amlgate serve` calls when no upstream is configured.
//
// It is not a scoring server: the models are fixed, live in the process and
// need no files. It is not a copy of Microsoft's code either, but built from
// what its documentation says and what clients were seen to send and receive;
// where neither tells, a comment at the place says what was chosen. Blobs are
// served by the package blob beside it, or by Azurite, or by Azure.
//
// A request goes
//
//	ServeHTTP -> respond (route, verb, key, workspace, service)
//	          -> execute (body, throttling, slot, faults)
//	          -> decode -> score -> appendResults
//
// and every refusal on the way is a problem, written in AzureML's envelope. A
// batch job takes the same way as far as the service, and then
//
//	batch -> submit -> decodeOrder -> locate   which blobs, and may they be opened
//	      -> start  -> queue -> runner.run     read, score, write, in the background
//	      -> status, delete
//
// What goes wrong before a job exists is a problem too; what goes wrong in the
// job is a failure, told by its status.
//
// # Jobs
//
// Jobs live in memory and end with the program. A started job stays NotStarted
// until its turn comes, first in first out, Config.MaxJobs of a service at a
// time. DELETE cancels a job that has not ended, which then is Cancelled, and
// removes one that has, which then is not found. A cancelled job keeps its turn
// until its work is over, and what it had written stays. No more than 10,000
// jobs of a service are open and 10,000 ended ones kept.
//
// A job opens no host but the emulator's own blob endpoint and those that
// Config.AllowBlobHosts names; see hosts.go for what is compared. An output
// that was given by a connection string is told back with a fresh read token
// each time. One that was given by a token is told back without any: there is
// no key to make one with, and the given one may allow more than reading.
// Inputs are CSV or TSV in UTF-8, with a header, up to 64 MiB and 1,000,000
// rows; outputs are the same.
//
// # Models
//
// feature-hashing counts unigrams and bigrams in 2^3 buckets the way Vowpal
// Wabbit hashes them. It reproduces the one published example of the classic
// Feature Hashing module ("This is a good day" gives 1 1 2 2 0 2 0 1); that it
// agrees with the module on every text is not claimed.
//
// cardiovascular-risk is the Cox model with lipids of D'Agostino et al.,
// "General Cardiovascular Risk Profile for Use in Primary Care: The Framingham
// Heart Study", Circulation 2008;117:743-753. It is here because its inputs
// are of every column type and its results can be checked against the paper.
// It is a demonstration, not medical advice, and no medical device.
//
// # Sources
//
// Microsoft's "Azure Machine Learning Studio REST API Error Codes" for classes,
// codes and sentences, and its "Module Error Codes" for those of failed jobs,
// whose form is that of one captured text; "How to consume an Azure Machine Learning Studio web
// service" for bodies; RevolutionAnalytics/AzureML (R), the Azure ML Python
// client and captured answers for what real clients insist on.
package emulator

// Package emulator is an AzureML Studio (classic) request/response service to
// run against, now that the real one is switched off: the same paths, keys,
// bodies, answers and errors, two real models behind them, and faults on
// request. It is what `amlgate emulator` serves and what `amlgate serve` calls
// when no upstream is configured.
//
// It is not a scoring server: the models are fixed, live in the process and
// need no files. It is not a copy of Microsoft's code either, but built from
// what its documentation says and what clients were seen to send and receive;
// where neither tells, a comment at the place says what was chosen. Batch jobs
// and blobs are not served yet.
//
// A request goes
//
//	ServeHTTP -> respond (route, verb, key, workspace, service)
//	          -> execute (body, throttling, slot, faults)
//	          -> decode -> score -> appendResults
//
// and every refusal on the way is a problem, written in AzureML's envelope.
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
// codes and sentences; "How to consume an Azure Machine Learning Studio web
// service" for bodies; RevolutionAnalytics/AzureML (R), the Azure ML Python
// client and captured answers for what real clients insist on.
package emulator
